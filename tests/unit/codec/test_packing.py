"""Words and outcomes as numbers on disk: every outcome has one, and no number may ever mean another word."""

from typing import get_args

from contactgate.codec.packing import CODE, OUTCOME_CODE, OUTCOMES, WORDS
from contactgate.model.facts import Outcome

RELEASED = (
    "not_attempted", "not_connected", "busy", "no_answer", "ignored", "bounced", "voicemail", "delivered", "answered",
    "wrong_number", "refused", "unsubscribed", "complained",
)  # fmt: skip


def test_every_outcome_has_one_code() -> None:
    """An outcome without a code could not be stored, one with two would not read back as itself."""
    assert sorted(OUTCOMES) == sorted(get_args(Outcome))
    assert len(OUTCOME_CODE) == len(OUTCOMES)


def test_released_codes_keep_their_meaning() -> None:
    """New outcomes stand behind those that stored states already number."""
    assert OUTCOMES[: len(RELEASED)] == RELEASED


def test_no_word_stands_twice() -> None:
    """The first of two equal words would never be written again."""
    assert len(CODE) == len(WORDS)
