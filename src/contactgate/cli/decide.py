"""`contactgate decide`: the offline fold on files and pipes."""

from __future__ import annotations

import gc
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from contactgate.codec.tokens import Tokens
from contactgate.errors import ContactgateError
from contactgate.offline import Fold
from contactgate.policy.load import load_policy
from contactgate.registry import opener

_CHUNK = 1 << 20

PolicyFile = Annotated[Path, typer.Option("--policy", help="Policy file (YAML or JSON).", exists=True, dir_okay=False)]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        help="File with the token key (at least 32 bytes). Default: CONTACTGATE_TOKEN_KEY_FILE, CONTACTGATE_TOKEN_KEY, "
        "else a random key for this run.",
        exists=True,
        dir_okay=False,
    ),
]


def offline_tokens(key_file: Path | None, *, random: bool = True) -> Tokens:
    """Tokens for one offline run; with a random key they mean nothing outside of it. Raises ValueError."""
    named = key_file or (Path(found) if (found := os.environ.get("CONTACTGATE_TOKEN_KEY_FILE")) else None)
    if named is not None:
        return Tokens(named.read_bytes().strip())
    if given := os.environ.get("CONTACTGATE_TOKEN_KEY"):
        return Tokens(given.encode())
    if not random:
        raise ValueError("no token key: give --key-file or set CONTACTGATE_TOKEN_KEY_FILE")
    return Tokens(secrets.token_bytes(32))


def run_fold(state: Fold, source: BinaryIO, sink: BinaryIO) -> None:
    """Fold whatever is there, write what comes of it, then wait for more: pipes are answered at once."""
    tail = b""
    read = source.raw.read if hasattr(source, "raw") else source.read
    while chunk := read(_CHUNK):
        lines = (tail + chunk).split(b"\n")
        tail = lines.pop()
        made = [out for line in lines for out in state.line(line)]
        if made:
            made.append(b"")
            sink.write(b"\n".join(made))
            sink.flush()
    if tail and (made := state.line(tail)):
        sink.write(b"\n".join([*made, b""]))
        sink.flush()


def decide(
    policy: PolicyFile,
    events: Annotated[
        str, typer.Argument(metavar="FILE|-", help="JSON lines, one event each; - reads standard input.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Where to write; default: standard output.")] = None,
    key_file: KeyFile = None,
) -> None:
    """Decide a file of events without Kafka: one decision, recall or dead letter a line."""
    with _open(policy, events, key_file) as (state, source), _uncollected():
        if out is None:
            run_fold(state, source, sys.stdout.buffer)
        else:
            with out.open("wb") as sink:
                run_fold(state, source, sink)


@contextmanager
def _open(policy: Path, events: str, key_file: Path | None) -> Iterator[tuple[Fold, BinaryIO]]:
    """A fold under a policy, and the lines to feed it; ends with status 2 when one of them cannot be used."""
    with tempfile.TemporaryDirectory(prefix="contactgate-") as lists, ExitStack() as opened:
        try:
            tokens = offline_tokens(key_file)
            open_list = opener(Path("/"), tokens, Path(lists))
            state = Fold(load_policy(policy.read_bytes()), tokens, open_list=open_list)
            source = sys.stdin.buffer if events == "-" else opened.enter_context(Path(events).open("rb"))
        except (ContactgateError, OSError, ValueError) as error:
            typer.echo(f"contactgate: {error}", err=True)
            raise typer.Exit(2) from None
        yield state, source


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the cycle collector: states only grow and make no cycles, so it would walk them again and again."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
