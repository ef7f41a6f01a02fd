"""More lies for the tests of the checker: requests that come again, clocks that differ, flags, misspelt words."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.handmade import Tale
from tests.chaos.history import CONSENT
from tests.chaos.stories import asked, consented


def echo_passed_after_its_end() -> Tale:
    """A repetition answered by its first pass, though that had lapsed."""
    tale = asked(consented(), 1).commit("pass").wait(20_000)
    tale.ask("q0")
    return tale.wait(10).commit("again pass")


def another_number_passed() -> Tale:
    """The name of an approval for another number, answered by the approval."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.ask("q0", address="+12022000002")
    return tale.wait(10).commit("again pass")


def another_number_unexplained() -> Tale:
    """The name of an approval for another number, blocked without saying which field differs."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.ask("q0", address="+12022000002")
    return tale.wait(10).commit("request.conflict")


def old_block_again() -> Tale:
    """A request that was blocked before the consent came, and again after it."""
    tale = Tale()
    tale.ask("q")
    tale.wait(10).commit("consent.missing").wait(10)
    tale.grant()
    tale.ask("q")
    return tale.wait(10).commit("again consent.missing")


def repeated_in_silence() -> Tale:
    """The requester asked again while its approval was open, and was told nothing."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.ask("q0")
    tale.wait(10).commit("again pass")
    tale.topics["approvals.bank"].pop()
    return tale


def repeated_as_new() -> Tale:
    """The requester asked again while its approval was open, and was told as if it were another one."""
    tale = asked(consented(), 1).commit("pass").wait(10)
    tale.ask("q0")
    tale.wait(10).commit("again pass")
    return tale.edit("approvals.bank", 1, lambda value: value.replace(b',"duplicate":true', b""))


def blocked_in_silence() -> Tale:
    """A requester was not told that its request is blocked."""
    tale = asked(Tale(), 1).commit("consent.missing")
    tale.topics["approvals.bank"].pop()
    return tale


def refused_with_the_reason() -> Tale:
    """A requester was told more than that the person may not be contacted."""
    tale = asked(Tale(), 1).commit("consent.missing")
    return tale.edit("approvals.bank", 0, lambda value: value.replace(b"not_permitted", b"consent.missing"))


def lost_to_a_clock() -> Tale:
    """An opt-out came after the consent, from a clock that was 20 s behind, and lost."""
    tale = consented().wait(5_000)
    tale.withdraw(at=tale.now_ms - 20_000)
    tale.ask("q")
    return tale.wait(10).commit("pass")


def flag_gone_with_a_list() -> Tale:
    """A list of flags without it ended that a person is dead."""
    tale = consented()
    for flags in (["deceased"], []):
        tale.tell(CONSENT, "subject.updated", flags=flags)
        tale.wait(60_000)
    tale.ask("q")
    return tale.wait(10).commit("pass")


def misspelt_opt_out() -> Tale:
    """An opt-out from telephones did not count for calls."""
    tale = consented()
    tale.withdraw(channels=["Phone"])
    tale.ask("q")
    return tale.wait(10).commit("pass")


def unknown_word_in_silence() -> Tale:
    """An opt-out from what nobody knows: it stops everything, and is no dead letter."""
    tale = consented()
    tale.withdraw(channels=["fax"])
    tale.ask("q")
    return tale.wait(10).commit("consent.withdrawn")


LIES: list[tuple[str, Callable[[], Tale]]] = [
    ("I1", another_number_passed),
    ("I1", lost_to_a_clock),
    ("I1", flag_gone_with_a_list),
    ("I1", misspelt_opt_out),
    ("I1b", old_block_again),
    ("I3", echo_passed_after_its_end),
    ("I3", another_number_unexplained),
    ("I3", old_block_again),
    ("I6", unknown_word_in_silence),
    ("I21", repeated_in_silence),
    ("I21", blocked_in_silence),
    ("I21", refused_with_the_reason),
    ("I21", repeated_as_new),
]
