"""Sealed handles: made and opened by one key alone, the same whenever they are made again."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contactgate.codec.handles import MAX_TEXT, Handle, Handles
from contactgate.codec.tokens import Tokens

TOKENS = Tokens(b"k" * 32)
HANDLE = Handle("s-1", "r-1", "callcentre-7", 3, 1_772_000_000_000)
IDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=128)


def test_a_handle_opens_to_what_it_was_made_of_and_is_the_same_when_made_again():
    """Deterministic: a replay and a restart give the dialer the same handle."""
    text = Handles(TOKENS).seal(HANDLE)
    assert re.fullmatch(r"ap\.[A-Za-z0-9_-]{16,}", text)
    assert text == Handles(TOKENS).seal(HANDLE)
    assert Handles(TOKENS).open(text) == HANDLE


@given(IDS, IDS, IDS, st.integers(0, 2**31), st.integers(0, 2**45))
def test_every_approval_has_a_handle_within_the_bound(subject: str, request: str, requester: str, part: int, at: int):
    """Whatever the identifiers are, the handle opens again and stays below the limit."""
    handle, handles = Handle(subject, request, requester, part, at), Handles(TOKENS)
    text = handles.seal(handle)
    assert len(text) <= MAX_TEXT
    assert handles.open(text) == handle


def test_a_handle_of_another_installation_does_not_open():
    """The key is the installation's."""
    assert Handles(Tokens(b"x" * 32)).open(Handles(TOKENS).seal(HANDLE)) is None


def test_no_flipped_bit_opens():
    """Neither in the tag nor in the payload, nor in the bits that base64 leaves over."""
    handles = Handles(TOKENS)
    text = handles.seal(HANDLE)
    raw = urlsafe_b64decode(text[3:] + "=" * (-len(text[3:]) % 4))
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        assert handles.open("ap." + urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()) is None
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        if other != text[-1]:
            assert handles.open(text[:-1] + other) is None


@pytest.mark.parametrize(
    "text", ["", "ap.", "ap-" + "0" * 32, "ap.€", "ap.AAAA", "ap." + "A" * 5000, "ap.AA==\n", "AP.AAAA"]
)
def test_what_is_no_handle_does_not_open(text: str):
    """Made-up texts of any kind are refused without an exception."""
    assert Handles(TOKENS).open(text) is None


def test_the_reference_tells_nothing_and_is_keyed():
    """Decisions, logs and URLs carry it: another key gives another reference, the handle cannot be had from it."""
    text = Handles(TOKENS).seal(HANDLE)
    reference = Handles(TOKENS).reference(text)
    assert re.fullmatch(r"ar-[0-9a-f]{32}", reference)
    assert reference == Handles(TOKENS).reference(text) != Handles(Tokens(b"x" * 32)).reference(text)


def test_a_short_key_is_refused():
    """As for tokens: 32 bytes at least."""
    with pytest.raises(ValueError, match="32 bytes"):
        Handles(Tokens(b"short"))
