"""`contactgate registry build|verify|lookup`: snapshots of do-not-call lists. Only turns words into calls."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from contactgate.cli.connection import fail
from contactgate.cli.decide import offline_tokens
from contactgate.codec.listing import entry_tokens
from contactgate.errors import ContactgateError
from contactgate.model.address import AddressError
from contactgate.registry import Snapshot, entries_of, lines_of
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
    allow_unreadable: Annotated[
        int, typer.Option(help="Leave out at most this many unreadable lines; the snapshot says how many.", min=0)
    ] = 0,
    shrinks: Annotated[
        bool, typer.Option("--shrinks", help="The list may have less than half of the numbers of the file at OUT.")
    ] = False,
) -> None:
    """Build a snapshot of a list. Ends with 1 and leaves OUT as it was when a line cannot be read, naming the lines."""
    try:
        made = build_snapshot(
            lines_of(numbers),
            offline_tokens(key_file, random=False),
            out,
            registry=registry,
            version=version,
            unreadable=allow_unreadable,
            at_least=0 if shrinks else (entries_of(out, registry) + 1) // 2,
        )
    except (ContactgateError, OSError, ValueError) as error:
        fail(str(error))
    typer.echo(f"{made.header.count} numbers, {made.repeated} repeated, {made.header.unreadable} unreadable lines")
    typer.echo(f"sha256 {made.header.sha256}")


@app.command()
def verify(file: File, key_file: Key = None) -> None:
    """Read a whole snapshot and compare it with its own SHA-256 and, when one is given, with the token key."""
    try:
        found = Snapshot(file, offline_tokens(key_file, random=False) if key_file else None)
        found.verify()
    except (ContactgateError, ValueError) as error:
        fail(str(error))
    typer.echo(f"{_about(found)}, intact")


@app.command()
def lookup(file: File, key_file: Key = None) -> None:
    """Look numbers up, one a line of standard input; answers `listed`, `listed since DAY`, `no` or `unreadable`.

    Standard error says which list it is.
    """
    try:
        tokens = offline_tokens(key_file, random=False)
        found = Snapshot(file, tokens)
    except (ContactgateError, ValueError) as error:
        fail(str(error))
    typer.echo(_about(found), err=True)
    for line in sys.stdin:
        try:
            days = [found.since(token) for token in entry_tokens(tokens, line.strip())]
        except AddressError:
            typer.echo("unreadable")
            continue
        since = min((day for day in days if day is not None), default=None)
        typer.echo("no" if since is None else f"listed since {date.fromordinal(since)}" if since else "listed")


def _about(snapshot: Snapshot) -> str:
    header = snapshot.header
    left_out = f", {header.unreadable} unreadable lines left out" if header.unreadable else ""
    return f"{header.registry} {header.version}: {header.count} numbers{left_out}"
