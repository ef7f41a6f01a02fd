"""`contactgate dev`: what developers need: an embedded broker. Only mounts."""

from __future__ import annotations

import typer

from contactgate.cli import kafka

app = typer.Typer(name="dev", no_args_is_help=True, help="Tools for development; nothing here belongs in production.")
app.add_typer(kafka.app, name="kafka")


@app.callback()
def dev() -> None:
    """Tools for development; nothing here belongs in production."""
