"""The composition root: `contactgate` and everything below it. Imports a command's module only when it is asked for.

Holds no logic: a table of names, and the one place where a foreign failure at start becomes a readable line.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "decide": ("contactgate.cli.decide", "decide"),
    "explain": ("contactgate.cli.explain", "explain"),
    "verify": ("contactgate.cli.verify", "verify"),
    "policy": ("contactgate.cli.policy", "app"),
    "packs": ("contactgate.cli.policy", "packs"),
    "worker": ("contactgate.cli.worker", "app"),
    "topics": ("contactgate.cli.topics", "app"),
    "publish": ("contactgate.cli.publish", "publish"),
    "tail": ("contactgate.cli.tail", "tail"),
    "registry": ("contactgate.cli.registry", "app"),
    "dead-letters": ("contactgate.cli.dead_letters", "app"),
    "demo": ("contactgate.cli.demo", "demo"),
    "replay-calls": ("contactgate.cli.replay_calls", "replay_calls"),
    "dev": ("contactgate.cli.dev", "app"),
}
"""Every command: the module and the function or Typer that make it."""


def load(name: str) -> Any:
    """The click command of one entry of COMMANDS."""
    module, attribute = COMMANDS[name]
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        command: Any = get_group(found)  # get_command would offer to install completion at every level
    else:
        single = typer.Typer(add_completion=False)
        single.command(name)(found)
        command = get_command(single)
    command.name = name
    return command


class Lazy(TyperGroup):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """All commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Import one."""
        return load(cmd_name) if cmd_name in COMMANDS else None


app = typer.Typer(
    cls=Lazy,
    name="contactgate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Decides, live and provably, whether a person may be contacted.",
)


@app.callback()
def main() -> None:
    """Decides, live and provably, whether a person may be contacted."""
