"""The audit chain: edits, gaps and reorders are found; what is untouched verifies."""

import pytest

from contactgate.core.chain import GENESIS, Link, link, seal, verify
from contactgate.errors import ChainBroken


def chain(length: int) -> list[bytes]:
    """Some records."""
    made, prev = [], GENESIS
    for seq in range(length):
        body = b'{"verdict":"pass","seq":%d,"prev":"%b"}' % (seq, prev.encode())
        prev = link(prev, body)
        made.append(seal(body, prev))
    return made


def test_an_untouched_chain_verifies_and_may_be_continued() -> None:
    """All at once or in two pieces."""
    records = chain(5)
    middle = verify(records[:3])
    assert middle.seq == 2
    assert verify(records[3:], middle) == verify(records)
    assert verify(records[3:]).seq == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: [r[0], r[2]],
        lambda r: [r[0], r[2], r[1]],
        lambda r: [r[0], r[0], r[1]],
        lambda r: [r[0].replace(b"pass", b"fail"), *r[1:]],
        lambda r: [r[0], r[1].replace(b'"seq":1', b'"seq": 1'), r[2]],
        lambda r: [r[0], r[1][:-1] + b" }", r[2]],
        lambda r: [r[0], b"no JSON", r[2]],
        lambda r: [],
    ],
)
def test_damage_is_found(damage) -> None:  # type: ignore[no-untyped-def]
    """A missing, swapped, repeated, edited, re-encoded or unreadable record breaks the chain."""
    with pytest.raises(ChainBroken):
        verify(damage(chain(3)))


def test_a_chain_does_not_follow_another() -> None:
    """The hash before the first record must be the one known."""
    with pytest.raises(ChainBroken):
        verify(chain(2)[1:], Link(0, GENESIS))


def test_a_body_must_name_what_it_follows() -> None:
    """A decision that was encoded with another prev is not linked."""
    with pytest.raises(ChainBroken):
        link(GENESIS, b'{"seq":0,"prev":"sha256:other"}')
