"""The size of a state, and the bytes that must decode forever."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import lz4.block
import msgspec
import pytest

from contactgate.codec import state as layout
from contactgate.model.facts import (
    FOREVER_MS,
    Closure,
    Contact,
    Grant,
    Mark,
    Profile,
    Relationship,
    Report,
    Span,
    SubjectState,
    Withdrawal,
)

GOLDEN = Path(__file__).parents[3] / "schemas" / "golden"
T = 1_790_000_000_000
DAY = 86_400_000


def typical(uuids: bool, subject: int = 1) -> SubjectState:
    """Seven facts: two grants, a withdrawal, four contacts that answer repeated requests."""

    def name(number: int) -> str:
        text = sha256(b"%d %d" % (subject, number)).hexdigest()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}" if uuids else f"r-{text[:9]}"

    contacts = tuple(
        Contact(
            time_ms=T - k * DAY,
            request_id=name(k),
            valid_until_ms=T - k * DAY + 900_000,
            outcome="no_answer" if k > 1 else None,
            outcome_ms=T - k * DAY + 61_234 if k > 1 else 0,
            recalled=None,
            channel="voice",
            purpose="marketing.insurance",
            controller="bank",
            requester="callcentre-7",
            campaign="c-2026-01",
            matters=(),
            address="a1." + sha256(b"%d" % subject).hexdigest()[:21] + "A",
            categories=("basic",),
            jurisdictions=("US", "US-FL"),
            event_id="",
            number_zones=("America/New_York",),
            asked_categories=("basic",),
            asked_jurisdictions=(),
        )
        for k in (9, 4, 2, 1)
    )
    return SubjectState(
        Profile(("America/New_York",), T - 90 * DAY, ("US", "US-FL"), T - 90 * DAY),
        tuple(
            Grant(
                time_ms=T - k * DAY,
                controller="bank",
                purposes=("marketing.insurance",),
                channels=("email", "mail", "sms", "voice"),
                recipients=("callcentre-7", "insurer"),
                categories=("account", "basic"),
                notice_id="n-2026-01",
                evidence="web",
                effective_ms=None,
                expires_ms=T + 365 * DAY,
                windows=(),
                event_id=name(100 + k),
                arrived_ms=T - k * DAY + 345,
            )
            for k in (80, 20)
        ),
        (Withdrawal(T - 30 * DAY, "bank", ("marketing",), ("sms",), None, name(200), T - 30 * DAY + 456),),
        contacts,
    )


@pytest.mark.parametrize("uuids", [False, True])
def test_a_typical_subject_takes_at_most_400_bytes_on_disk(uuids: bool) -> None:
    """Such facts fit the budget in blocks of 16 KiB compressed with LZ4, which is how the store writes them."""
    values = [layout.encode(typical(uuids, subject)) for subject in range(200)]
    block = b"".join(values[: 16_384 // len(values[0])])
    stored = len(lz4.block.compress(block)) / (16_384 // len(values[0]))
    assert len(values[0]) <= 600
    assert stored <= 400


EVERYTHING = SubjectState(
    Profile(
        timezones=("America/New_York", "Mars/Olympus"),
        timezones_ms=T,
        jurisdictions=("DE", "US-FL"),
        jurisdictions_ms=T + 1,
        flags=("business",),
        flags_ms=T + 2,
        preferred=(
            Span(
                days=(0, 6),
                from_ms=36_000_000,
                to_ms=46_800_000,
                from_exclusive=True,
                to_inclusive=True,
                holidays="AU-NSW",
                channels=("voice",),
            ),
        ),
        preferred_ms=T + 3,
        relationships=(
            Relationship("bank", "contract", 739_000, None, "e-9", T),
            Relationship("bank", "other", 1, 2, "e-8"),
        ),
        wrong_addresses=("a1.0123456789abcdefghijkA",),
        erased_ms=T - 1,
        erased_arrived_ms=T - 1,
        marks=(Mark("minor", False, T + 2, T + 2),),
    ),
    (
        Grant(
            time_ms=T,
            controller="bank",
            purposes=("marketing",),
            channels=("voice",),
            recipients=None,
            categories=None,
            notice_id=None,
            evidence=None,
            effective_ms=None,
            expires_ms=FOREVER_MS,
            windows=(Span(),),
            event_id="e-1",
            arrived_ms=T,
        ),
        Grant(
            time_ms=T,
            controller="bank",
            purposes=("x.y",),
            channels=("fax",),
            recipients=(),
            categories=("basic",),
            notice_id="n",
            evidence="web",
            effective_ms=T - 5,
            expires_ms=T + 5,
            windows=(),
            event_id="E-2",
            arrived_ms=T,
        ),
    ),
    (Withdrawal(T, None, None, None, None, "e-3", T), Withdrawal(T, "b", ("p",), ("c",), ("r",), "e-4", T)),
    (
        Contact(
            time_ms=T,
            request_id="r-1",
            valid_until_ms=T + 900_000,
            outcome=None,
            outcome_ms=0,
            recalled=None,
            channel="voice",
            purpose="p",
            controller="c",
            requester="q",
            campaign=None,
            matters=(),
            address=None,
            categories=(),
            jurisdictions=(),
            event_id="",
        ),
        Contact(
            time_ms=T,
            request_id="",
            valid_until_ms=0,
            outcome="refused",
            outcome_ms=T + 7,
            recalled="consent.withdrawn",
            channel="voice",
            purpose="p",
            controller="c",
            requester="",
            campaign="k",
            matters=("m", "n"),
            address="a1.x",
            categories=("basic",),
            jurisdictions=("US",),
            event_id="e-5",
            complaint=True,
            mode="prerecorded",
            matters_told=True,
        ),
        Contact(
            time_ms=T,
            request_id="r-2",
            valid_until_ms=T,
            outcome="complained",
            outcome_ms=T,
            recalled=None,
            channel="sms",
            purpose="p",
            controller="c",
            requester="q",
            campaign=None,
            matters=("m",),
            address="a1.x",
            categories=(),
            jurisdictions=(),
            event_id="e-6",
            asked_matter="m",
        ),
    ),
)
"""What the first two layouts were made from: they do not hold when a fact arrived, nor who asked for which place."""


def _later(fact: Any) -> Any:
    return msgspec.structs.replace(fact, arrived_ms=fact.arrived_ms + 77)


NOW = SubjectState(
    msgspec.structs.replace(
        EVERYTHING.profile,
        erased_arrived_ms=T + 5,
        closed=(
            Closure(
                time_ms=T - 3,
                address="a1.0123456789abcdefghijkA",
                controller="bank",
                channel="email",
                purposes=("marketing", "service"),
                event_id="e-10",
                complained=True,
                arrived_ms=T + 11,
            ),
        ),
        marks=(*EVERYTHING.profile.marks, Mark("minor", True, T + 3, T + 9), Mark("other", False, T + 4, T + 4)),
    ),
    tuple(map(_later, EVERYTHING.grants)),
    tuple(map(_later, EVERYTHING.withdrawals)),
    (
        *EVERYTHING.contacts,
        msgspec.structs.replace(
            EVERYTHING.contacts[2],
            outcome="abandoned",
            number_zones=("America/Chicago", "Mars/Olympus"),
            matters=("m", "n"),
            matters_told=True,
            asked_categories=("basic",),
            asked_jurisdictions=("US-FL",),
        ),
        msgspec.structs.replace(EVERYTHING.contacts[0], matters=("m",), asked_jurisdictions=()),
    ),
    (
        Report(
            time_ms=T,
            request_id="r-1",
            decided_ms=T - 7,
            word="SALE 1",
            proven=True,
            matters=("m",),
            event_id="e-8",
            arrived_ms=T + 9,
        ),
        Report(
            time_ms=T + 1,
            request_id="0e0f3c0e-2f3a-4c3e-9d57-0c2f7f3f9a11",
            decided_ms=T - 7,
            word="DNC",
            proven=False,
            matters=None,
            event_id="e-9",
            arrived_ms=T + 1,
            restricts_only=True,
        ),
    ),
)
"""What the layout of today holds beside that."""


def test_bytes_written_by_every_released_layout_still_decode() -> None:
    """The golden file of each version gives the state it was made from, for ever."""
    for version, state in ((1, EVERYTHING), (2, EVERYTHING), (3, NOW)):
        raw = bytes.fromhex((GOLDEN / f"state-v{version}.hex").read_text())
        assert raw[0] == version
        assert layout.decode(raw) == state
        assert layout.open_until_ms(raw) == T + 900_000
    assert layout.encode(NOW, T + 900_000) == raw, "the layout changed: give it a new version byte"


def test_the_zones_of_a_number_are_read_from_the_second_layout() -> None:
    """They were kept behind what was there before, and are absent from most of its bytes."""
    zoned = msgspec.structs.replace(EVERYTHING.contacts[0], number_zones=("America/Chicago", "Mars/Olympus"))
    assert layout.decode(bytes.fromhex((GOLDEN / "state-v2-zones.hex").read_text())).contacts == (zoned,)


def test_words_keep_their_codes() -> None:
    """Words are stored by their place in the list; moving one would change what old bytes mean."""
    golden = (GOLDEN / "words-v1.txt").read_text().split()
    assert list(layout.WORDS[: len(golden)]) == golden
    assert len(set(layout.WORDS)) == len(layout.WORDS)
    assert msgspec.json.encode(layout.OUTCOMES) == (GOLDEN / "outcomes-v1.json").read_bytes().strip()
