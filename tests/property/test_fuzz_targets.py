"""The fuzz targets in `make test`: seeds, old findings and mutations end in an answer or the declared exception.

The same targets run guided by coverage with `make fuzz`; see tests/fuzz. Long: CONTACTGATE_LONG=1.
"""

from __future__ import annotations

import os
from time import process_time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.seeds import findings, seeds
from tests.fuzz.targets import TARGETS
from tests.kit.gatekit import granted, live, record, text, withdrawn

LONG = os.environ.get("CONTACTGATE_LONG") == "1"
SLOW = {"policy", "cases", "registry-snapshot", "registry-lines", "settings", "policy-activated"}
PIECES = [
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u0000", b"\\ud800", b"\xff", b"\x00", b"\n", b"null", b"-1",
    b"1e999", b"NaN", b"9" * 30, b'"type":"consent.withdrawn"', b"\xc0\xaf", b"\xef\xbb\xbf", b"\x91", b"\xc4\x01",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, sources: list[bytes]) -> bytes:
    """One or two sources, cut, joined and changed in some places."""
    raw = bytearray(draw(st.sampled_from(sources)))
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, len(raw)))
        match draw(st.integers(0, 4)):
            case 0 if raw:
                raw[min(place, len(raw) - 1)] = draw(st.integers(0, 255))
            case 1:
                del raw[place : place + draw(st.integers(1, 40))]
            case 2:
                raw[place:place] = draw(st.sampled_from(PIECES))
            case 3:
                other = draw(st.sampled_from(sources))
                cut = draw(st.integers(0, len(other)))
                raw[place:] = other[cut:]
            case _:
                raw[place:place] = draw(st.binary(max_size=8))
    return bytes(raw)


@pytest.mark.parametrize("name", TARGETS)
def test_old_findings_and_mutations_end_as_declared(name: str) -> None:
    """Every seed, every input that once broke the target, and mutations of them."""
    run = TARGETS[name].run
    sources = seeds(name)
    for raw in sources:
        run(raw)
    examples = 20 if name in SLOW else 150

    @settings(
        max_examples=examples * 50 if LONG else examples, deadline=None, suppress_health_check=list(HealthCheck),
        database=None,
    )  # fmt: skip
    @given(mutated(sources))
    def mutations(raw: bytes) -> None:
        run(raw[: TARGETS[name].max_len])

    mutations()


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_not_empty(name: str) -> None:
    """A target has seeds that are accepted as they stand: a decoder that refuses everything is not tested."""
    assert seeds(name)
    assert all(findings(each) == [] or each in TARGETS for each in TARGETS)


FRAGMENTS = [
    b'\\"', b'"', b"[", b"{", b'{"a":', b'"a":1,', b"'", b"\\", b" ", b"\t:", b"outcome ", b"subject_id:'", b"address=",
    b"\\u0041", b"\\ud83d", b"9", b"1e9,", b"\xc3\xa9", b"consent.withdrawn ", b'"type":"subject.updated",', b"minor ",
    b'"x":[],', b"\x00", b"\n", b"<!--", b"a.", b"@",
]  # fmt: skip
BEFORE = [
    b"",
    b'{"type":"consent.withdrawn","a":',
    b'{"type":"x","a":' + b"[" * 33 + b'"',
    b'{"a":"',
    b"[[",
    text(withdrawn())[:-1],
]


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=[fragment.decode("latin-1") for fragment in FRAGMENTS])
def test_no_message_costs_seconds(fragment: bytes) -> None:
    """64 KiB or 1 MiB of one fragment after any beginning: what could cost quadratic time is what the others wait for.

    One such message once took 25 seconds; a linear one takes some milliseconds, so that 3 seconds of CPU are far away.
    """
    gate, states, _ = live()
    gate.consent(record("consent", granted()), states)
    for before in BEFORE:
        for size in (65_000, 1_000_000):
            raw = before + fragment * ((size - len(before)) // len(fragment))
            for kind in ("consent", "request"):
                began = process_time()
                take: Any = gate.consent
                take(record(kind, raw), states)
                gate.out.clear()
                assert process_time() - began < 3
