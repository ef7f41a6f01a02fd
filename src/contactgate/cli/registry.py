"""`contactgate registry build|verify|lookup`: snapshots of do-not-call lists. Only turns words into calls."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from contactgate.cli.connection import fail
from contactgate.cli.decide import offline_tokens
from contactgate.errors import ContactgateError
from contactgate.model.address import AddressError
from contactgate.registry import Snapshot
from contactgate.registry import build as build_snapshot

app = typer.Typer(name="registry", no_args_is_help=True, help="Snapshots of do-not-call lists, without a clear number.")

File = Annotated[Path, typer.Argument(help="A snapshot.", exists=True, dir_okay=False)]
Key = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        help="File with the token key of the installation; default: CONTACTGATE_TOKEN_KEY(_FILE).",
        exists=True,
        dir_okay=False,
    ),
]


@app.command()
def build(
    numbers: Annotated[Path, typer.Argument(help="One number a line, + and country code, optionally ,YYYY-MM-DD.")],
    out: Annotated[Path, typer.Argument(help="Where the snapshot goes; replaced whole, or not at all.")],
    registry: Annotated[str, typer.Option(help="Name of the registry (us-ndnc).")],
    version: Annotated[str, typer.Option(help="Version, as the control event will name it.")],
    key_file: Key = None,
) -> None:
    """Build a snapshot of a list. Ends with 1 when a line cannot be read; what could be read is there all the same."""
    try:
        with numbers.open(encoding="utf-8", errors="replace") as lines:
            made = build_snapshot(
                lines, offline_tokens(key_file, random=False), out, registry=registry, version=version
            )
    except (ContactgateError, OSError, ValueError) as error:
        fail(str(error))
    typer.echo(f"{made.header.count} numbers, {made.repeated} repeated, {made.unreadable} unreadable lines")
    typer.echo(f"sha256 {made.header.sha256}")
    if made.unreadable:
        raise typer.Exit(1)


@app.command()
def verify(file: File, key_file: Key = None) -> None:
    """Read a whole snapshot and compare it with its own SHA-256 and, when one is given, with the token key."""
    try:
        found = Snapshot(file, offline_tokens(key_file, random=False) if key_file else None)
        found.verify()
    except (ContactgateError, ValueError) as error:
        fail(str(error))
    header = found.header
    typer.echo(f"{header.registry} {header.version}: {header.count} numbers, intact")


@app.command()
def lookup(file: File, key_file: Key = None) -> None:
    """Look numbers up, one a line of standard input; answers `listed`, `listed since DAY`, `no` or `unreadable`."""
    try:
        tokens = offline_tokens(key_file, random=False)
        found = Snapshot(file, tokens)
    except (ContactgateError, ValueError) as error:
        fail(str(error))
    for line in sys.stdin:
        try:
            since = found.since(tokens.contactable("voice", line.strip()).token)
        except AddressError:
            typer.echo("unreadable")
            continue
        typer.echo("no" if since is None else f"listed since {date.fromordinal(since)}" if since else "listed")
