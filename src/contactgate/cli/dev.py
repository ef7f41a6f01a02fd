"""`contactgate dev`: what a developer's machine needs and production never does."""

from __future__ import annotations

import typer

from contactgate.cli import kafka
from contactgate.cli.load import load

app = typer.Typer(name="dev", no_args_is_help=True, help="Tools for development; never for production.")
app.add_typer(kafka.app, name="kafka")
app.command()(load)


@app.callback()
def dev() -> None:
    """Tools for development; never for production."""
