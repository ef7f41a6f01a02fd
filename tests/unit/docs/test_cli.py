"""docs/cli.md is what tools/cli_docs.py makes of the command line, and every command and option has help."""

from __future__ import annotations

from tools import cli_docs


def test_the_page_is_the_one_of_this_command_line() -> None:
    """A command or option that changes changes docs/cli.md with it (`make docs-cli`)."""
    assert cli_docs.PAGE.read_text(encoding="utf-8") == cli_docs.page()


def test_every_command_and_option_has_help() -> None:
    """Nobody has to read the source to know what a command, an argument or an option is for."""
    assert cli_docs.unexplained(cli_docs.commands()) == []


def test_every_command_has_a_section_with_all_of_its_options() -> None:
    """The page is complete: each command by its full name, each option in its section."""
    sections = {part.split("\n", 1)[0].lstrip("# "): part for part in cli_docs.page().split("\n#")}
    for entry in cli_docs.commands():
        for parameter in cli_docs.visible(entry):
            names = () if parameter.param_type_name == "argument" else (*parameter.opts, *parameter.secondary_opts)
            assert all(f"`{name}`" in sections[entry.path] for name in names), (entry.path, names)


def test_a_command_without_help_is_named() -> None:
    """The check sees what is missing: a command and an option whose words were taken away."""
    entry = next(entry for entry in cli_docs.commands() if entry.path == "contactgate policy check")
    entry.command.help = ""
    entry.command.params[0].help = " "
    assert cli_docs.unexplained([entry]) == ["contactgate policy check", "contactgate policy check file"]
