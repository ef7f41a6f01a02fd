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
from contactgate.client.routing import TOPIC_OF_KIND
from contactgate.codec.tokens import Tokens
from contactgate.engine.fold import META_KEY, Meta, decode_meta
from contactgate.errors import ChainBroken, ContactgateError
from contactgate.gate import Record
from contactgate.policy.load import load_policy
from contactgate.proof.decided import Kept, decode
from contactgate.proof.rederive import KINDS, Rules
from contactgate.registry import opener

DECISIONS = "contact-decisions"
CHANGELOG = "subjects-changelog"
_BROADCAST = ("control", "suppression")
_EVERY = 20_000

PolicyOption = Annotated[
    Path | None,
    typer.Option(help="The policy that the workers were started with; default: CONTACTGATE_POLICY_FILE.", exists=True),
]
EventTimeOption = Annotated[
    bool, typer.Option("--event-time", help="The workers decide at the requests' own time (replays).")
]

T = TypeVar("T")


class Installation:
    """The topics of one installation, read as records of the proof."""

    def __init__(self, history: History, prefix: str, lists: str = "") -> None:
        """`lists`: a directory for registries made of plain lists; needed for `rules`."""
        self._lists = Path(lists)
        self._history = history
        self._prefix = prefix
        self._broadcast: dict[str, list[Record]] = {}

    def topic(self, name: str) -> str:
        """A topic's full name."""
        return self._prefix + name

    def partitions(self) -> list[int]:
        """All partitions of decisions."""
        return self._history.partitions(self.topic(DECISIONS))

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

    def inputs(self, partition: int) -> dict[str, Iterable[Record]]:
        """Everything a partition's decisions were made from, read as it is needed."""
        found: dict[str, Iterable[Record]] = {}
        for kind in KINDS:
            if kind not in _BROADCAST:
                found[kind] = self._records(kind, partition)
                continue
            if kind not in self._broadcast:
                self._broadcast[kind] = list(self._records(kind, 0))
            found[kind] = self._broadcast[kind]
        return found

    def request_begin(self, partition: int) -> int:
        """The first request that is still on its topic."""
        return self._history.bounds(self.topic(TOPIC_OF_KIND["request"]), partition)[0]

    def _records(self, kind: str, partition: int) -> Iterator[Record]:
        for each in self._history.read(self.topic(TOPIC_OF_KIND[kind]), partition):
            yield Record(kind, partition, each.offset, each.timestamp_ms, each.key, each.value)

    def requests(self, partition: int) -> Iterator[Found]:
        """The records of contact-requests."""
        return self._history.read(self.topic(TOPIC_OF_KIND["request"]), partition)

    def decisions(self, partition: int, end: int | None = None) -> Iterator[Found]:
        """The records of contact-decisions, up to an offset."""
        return self._history.read(self.topic(DECISIONS), partition, end=end)

    def all_of(self, name: str) -> Iterator[Found]:
        """The records of all partitions of a topic, one after the other."""
        topic = self.topic(name)
        for partition in self._history.partitions(topic):
            yield from self._history.read(topic, partition)

    def record(self, name: str, partition: int, offset: int) -> Found | None:
        """One record, if it is still there."""
        return next(self._history.read(self.topic(name), partition, offset, offset + 1), None)

    def metas(self, partition: int) -> Iterator[Meta]:
        """The transactions that the changelog still remembers."""
        for each in self._history.read(self.topic(CHANGELOG), partition):
            if each.key == META_KEY and each.value:
                yield decode_meta(each.value)


def kept(found: Iterable[Found]) -> Iterator[Kept]:
    """The decisions among records; what is none has been told by the walk along the chain."""
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
