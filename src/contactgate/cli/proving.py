"""What `verify` and `explain` read: the topics of one installation as the proof wants them. Checks nothing itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from contactgate.cli.connection import settings
from contactgate.client.history import Found, History
from contactgate.client.installation import Installation
from contactgate.codec.tokens import Tokens
from contactgate.errors import ChainBroken, ContactgateError
from contactgate.partition.fold import META_KEY, Meta, decode_meta
from contactgate.policy.load import load_policy
from contactgate.proof.decided import Kept, decode
from contactgate.proof.rederive import Rules
from contactgate.registry import opener

_EVERY = 20_000

PolicyOption = Annotated[
    Path | None,
    typer.Option(help="The policy that the workers were started with; default: CONTACTGATE_POLICY_FILE.", exists=True),
]
EventTimeOption = Annotated[
    bool, typer.Option("--event-time", help="The workers decide at the requests' own time (replays).")
]

T = TypeVar("T")


class Provable(Installation):
    """An installation with the rules that its workers decide by."""

    def __init__(self, history: History, prefix: str, lists: str) -> None:
        """`lists`: a directory for registries made of plain lists."""
        super().__init__(history, prefix)
        self._lists = Path(lists)

    def rules(self, policy: Path | None, *, event_time: bool) -> Rules:
        """What the workers decide by, from the settings. Raises SettingsError without the token key."""
        known = settings()
        file = policy or known.policy_file
        try:
            first = None if file is None else load_policy(file.read_bytes())
        except OSError as error:
            raise ContactgateError(f"the policy file cannot be read: {error.strerror}") from error
        tokens = Tokens(known.tokens_key())
        return Rules(
            tokens,
            len(self.partitions()),
            first,
            opener(known.registry_dir, tokens, self._lists),
            event_time or known.clock == "event",
        )

    def metas(self, partition: int) -> Iterator[Meta]:
        """The transactions that the changelog still remembers."""
        for each in self.changelog(partition):
            if each.key == META_KEY and each.value:
                yield decode_meta(each.value)


def kept(found: Iterable[Found]) -> Iterator[Kept]:
    """The decisions among records; what is none was reported by the walk along the chain."""
    for each in found:
        try:
            yield Kept(each.offset, each.value or b"", decode(each.value or b""))
        except ChainBroken:
            continue


def counted(records: Iterable[T], what: str) -> Iterator[T]:
    """The same records; on a terminal the count is shown while they are read."""
    if not sys.stderr.isatty():
        yield from records
        return
    with Console(stderr=True).status(what) as status:
        for number, record in enumerate(records, 1):
            if number % _EVERY == 0:
                status.update(f"{what}: {number:,}")
            yield record
