"""Write `docs/cli.md`: every command, argument and option, from the command line itself.

    python tools/cli_docs.py            write it
    python tools/cli_docs.py --check    exit 1 when it differs, or when a command or option has no help

The commands are the one definition; a test fails when the page was edited or forgotten. Never edit the page by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from contactgate.cli.main import COMMANDS, app, load

PAGE: Final = Path(__file__).parents[1] / "docs" / "cli.md"
HEAD: Final = """\
# Every command

<!-- Written by `make docs-cli` from the command line itself: never edit it by hand. -->

`contactgate COMMAND --help` says the same. Options that several commands share, such as `--bootstrap` and `--prefix`,
mean the same everywhere; the connection to a protected cluster comes from the environment
([a protected cluster](getting-started.md#a-protected-cluster)).
"""


class Entry(NamedTuple):
    """One command as it is called: `contactgate policy check`."""

    path: str
    command: Any
    context: Any


def commands() -> list[Entry]:
    """Every command and group of commands, each group before what it holds, in the order of `contactgate --help`."""
    root = typer.main.get_command(app).make_context("contactgate", [], resilient_parsing=True)
    return [entry for name in COMMANDS for entry in _below(f"contactgate {name}", name, load(name), root)]


def _below(path: str, name: str, command: Any, parent: Any) -> Iterator[Entry]:
    context = type(parent)(command, info_name=name, parent=parent, resilient_parsing=True)
    yield Entry(path, command, context)
    for inner in getattr(command, "commands", {}).values():
        yield from _below(f"{path} {inner.name}", inner.name, inner, context)


def visible(entry: Entry) -> list[Any]:
    """The arguments and options of a command, apart from `--help`."""
    return [p for p in entry.command.params if not getattr(p, "hidden", False) and p.name != "help"]


def unexplained(entries: list[Entry]) -> list[str]:
    """What has no help: commands by their path, options with the path of their command."""
    found = [entry.path for entry in entries if not (entry.command.help or "").strip()]
    return found + [f"{e.path} {p.opts[0]}" for e in entries for p in visible(e) if not (p.help or "").strip()]


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(entry) for entry in commands())])


def _section(entry: Entry) -> str:
    depth = "#" * entry.path.count(" ")
    parts = [f"{depth}# {entry.path}\n", _words(entry.command.help or "") + "\n"]
    inner = getattr(entry.command, "commands", {})
    if inner:
        parts.append(", ".join(f"[`{name}`](#{_anchor(f'{entry.path} {name}')})" for name in inner) + "\n")
    if not inner or visible(entry):
        parts.append("    " + " ".join([entry.path, "[OPTIONS]", *_usage(entry, list(inner))]) + "\n")
    if rows := [_row(parameter, entry.context) for parameter in visible(entry)]:
        parts.append("\n".join(["| | | default |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _anchor(heading: str) -> str:
    return heading.replace(" ", "-")


def _usage(entry: Entry, inner: list[str]) -> list[str]:
    names = [(_name(p), p.required) for p in visible(entry) if p.param_type_name == "argument"]
    return [name if needed else f"[{name}]" for name, needed in names] + (["COMMAND"] if inner else [])


def _name(argument: Any) -> str:
    return str(argument.display_name_raw).upper()


def _row(parameter: Any, context: Any) -> str:
    if parameter.param_type_name == "argument":
        name = " or ".join(f"`{word}`" for word in _name(parameter).split("|"))
    else:
        name = ", ".join(f"`{word}`" for word in (*parameter.opts, *parameter.secondary_opts))
    words = _words(parameter.help or "")
    if kinds := _choices(parameter):
        words += " One of " + ", ".join(f"`{kind}`" for kind in kinds) + "."
    if parameter.envvar:
        words += f" Environment: `{parameter.envvar}`."
    return f"| {name} | {words} | {_default(parameter, context)} |".replace("  ", " ")


def _choices(parameter: Any) -> list[str]:
    kind = parameter.type_descriptor.annotation
    return [str(member.value) for member in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []


def _default(parameter: Any, context: Any) -> str:
    if parameter.required:
        return "needed"
    value = parameter.get_default(context, call=False)
    if value is None or value in ("", (), []) or callable(value):
        return ""
    if isinstance(value, bool):
        names = parameter.opts if value else parameter.secondary_opts
        return f"`{names[0]}`" if names else ""
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _words(text: str) -> str:
    """One paragraph of Markdown that fits into a cell of a table; what looks like a tag or a cell's end is escaped."""
    return re.sub(r"([|<])", r"\\\1", " ".join(text.split()))


def main() -> int:
    """Write or check."""
    wrong = [f"{path} has no help; say in a sentence what it does" for path in unexplained(commands())]
    wanted = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
            wrong.append("docs/cli.md differs from the command line; run make docs-cli")
    else:
        PAGE.write_text(wanted, encoding="utf-8")
    for line in wrong:
        print(line)
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
