"""Numbers as they are written at home, mailboxes with names, free text and two numbers in one field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contactgate.codec.tokens import Tokens
from contactgate.errors import PolicyError
from contactgate.offline import fold
from contactgate.policy.load import load_policy

TOKENS = Tokens(b"only for tests, 32 bytes or more.")
POLICY = {
    "policy": "national",
    "require": {"campaign": False, "party": False, "notice": False},
    "purposes": {"service": {"consent": "none"}},
}


def suppressed(address: str, **fields: Any) -> dict[str, Any]:
    """A suppression of everything."""
    return {
        "type": "address.suppressed", "event_id": "e-1", "time": "2026-03-02T00:00:00Z", "address": address, **fields,
    }  # fmt: skip


def asked(request_id: str, address: str, channel: str = "voice") -> dict[str, Any]:
    """A service contact."""
    return {
        "type": "contact.requested", "request_id": request_id, "subject_id": "s", "time": "2026-03-03T12:00:00Z",
        "requester": "bank", "controller": "bank", "purpose": "service", "channel": channel, "address": address,
    }  # fmt: skip


def activated(region: str | None) -> dict[str, Any]:
    """The same policy, with a region or without."""
    document = POLICY | ({} if region is None else {"default_region": region})
    return {"type": "policy.activated", "event_id": "p", "time": "2026-03-02T12:00:00Z", "document": document}


def told(*events: dict[str, Any], region: str | None = None) -> tuple[list[list[str]], list[str], str]:
    """The rules that each decision failed, the reasons of the dead letters, and all that their words say."""
    policy = load_policy(POLICY | ({} if region is None else {"default_region": region}))
    lines = [json.loads(x) for x in fold((json.dumps(e).encode() for e in events), policy, TOKENS)]
    letters = [line for line in lines if line["type"] == "dead.letter"]
    decided = [[reason["rule"] for reason in line["reasons"]] for line in lines if line["type"] == "contact.decided"]
    return decided, [line["reason"] for line in letters], " ".join(line["detail"] for line in letters)


SUPPRESSED = ["address.suppressed"]


@pytest.mark.parametrize(
    ("region", "written", "e164", "other"),
    [
        ("AU", "0491 570 006", "+61491570006", "+61491570007"),
        ("GB", "020 7946 0123", "+442079460123", "+442079460124"),
        ("GB", "2079460123", "+442079460123", "+442079460124"),
        ("US", "(212) 555-0123", "+12125550123", "+12125550124"),
        ("US", "1 212 555 0123", "+12125550123", "+12125550124"),
        ("DE", "030/1234567", "+49301234567", "+49301234568"),
        ("IT", "06 698 12345", "+390669812345", "+390669812346"),
        ("BR", "(11) 8765-4321", "+5511987654321", "+5511987654322"),
    ],
)
def test_a_number_written_at_home_is_read_in_the_region_of_the_policy(
    region: str, written: str, e164: str, other: str
) -> None:
    """Suppressed or asked for in either form, and under a policy that names the region only later."""
    requests = (asked("r-1", e164), asked("r-2", written), asked("r-3", other))
    for event in (suppressed(written), suppressed(e164)):
        assert told(event, *requests, region=region)[:2] == ([SUPPRESSED, SUPPRESSED, []], [])
    decided, letters, _ = told(suppressed(written), activated(region), *requests)
    assert (decided, letters) == ([SUPPRESSED, SUPPRESSED, []], ["address.unreadable"])


@pytest.mark.parametrize(
    "written", ["020 7946 0123 ext. 7", "tel:02079460123", "(020) 7946-0123", "\uff10\uff12\uff10 7946 0123"]
)
def test_it_binds_alike_before_and_after_the_policy_that_reads_it(written: str) -> None:
    """When the suppression is read, and under which policy, changes no decision under the policy that reads it."""
    asks = (asked("r-1", "+442079460123"), asked("r-2", "+14020794601"))
    for first in ("GB", "US", None):
        for events in ((suppressed(written), activated("GB")), (activated("GB"), suppressed(written))):
            assert told(*events, *asks, region=first)[0] == [SUPPRESSED, []]


@pytest.mark.parametrize("written", ["tel:+1-212-555-0123", "+1 212 555 0123 ext. 5", "sms:+12125550123"])
def test_whatever_a_request_may_write_a_suppression_may(written: str) -> None:
    """Without channels as well, which would tell that it is a number."""
    decided, letters, _ = told(suppressed(written), asked("r-1", "+12125550123"), asked("r-2", written))
    assert (decided, letters) == ([SUPPRESSED, SUPPRESSED], [])


def test_an_observed_wrong_number_is_known_as_it_was_written() -> None:
    """A number that was somebody else's is not called again, whether or not a policy could read it then."""
    observed = {
        "type": "contact.observed", "event_id": "e-2", "subject_id": "s", "time": "2026-03-02T00:00:00Z",
        "controller": "bank", "channel": "voice", "purpose": "service", "direction": "outbound",
        "outcome": "wrong_number", "address": "020 7946 0123",
    }  # fmt: skip
    for first in ("GB", None):
        decided, letters, _ = told(observed, activated("GB"), asked("r-1", "+442079460123"), region=first)
        assert (decided, letters) == ([SUPPRESSED], [])


def test_without_a_region_it_is_refused() -> None:
    """The request is malformed and the suppression a dead letter; neither repeats the number."""
    decided, letters, words = told(
        suppressed("0491 570 006"), asked("r-1", "0491 570 006"), asked("r-2", "+61491570006")
    )
    assert decided == [["request.malformed"], []]
    assert letters == ["address.unreadable"]
    assert "570" not in words


def test_a_mailbox_with_a_name_is_the_mailbox() -> None:
    """As mail software writes it."""
    for written in ("Ann <ann@example.com>", '"Ann, B." <Ann@Example.com>', "<ann@example.com>"):
        decided, letters, _ = told(suppressed(written), asked("r-1", "ann@example.com", "email"))
        assert (decided, letters) == ([SUPPRESSED], [])


@pytest.mark.parametrize("text", ["212,5550124", "1 Main Street", "unknown", "n/a"])
def test_free_text_is_a_postal_address_on_channel_mail_only(text: str) -> None:
    """A line of a flat file binds nobody by accident: it is a dead letter, unless it says that it is for letters."""
    assert told(suppressed(text), asked("r-1", text, "mail"))[:2] == ([[]], ["address.unreadable"])
    for fields in ({"channels": ["mail"]}, {"kind": "postal"}):
        assert told(suppressed(text, **fields), asked("r-1", text, "mail"))[:2] == ([SUPPRESSED], [])
    assert told(asked("r-1", text))[0] == [["request.malformed"]]


@pytest.mark.parametrize("between", [", ", " / ", ";", " and "])
def test_two_numbers_in_one_field_are_malformed_and_both_bind(between: str) -> None:
    """Nobody can say which was meant: a request for them is refused, a suppression stops both and is reported."""
    both = between.join(("+12125550123", "+12125550124"))
    decided, letters, _ = told(
        suppressed(both), asked("r-1", "+12125550123"), asked("r-2", "+12125550124"), asked("r-3", both)
    )
    assert decided == [SUPPRESSED, SUPPRESSED, ["request.malformed"]]
    assert letters == ["address.unreadable"]


def test_a_release_that_cannot_be_read_whole_lifts_nothing() -> None:
    """What loosens must be understood."""
    release = {**suppressed("+12125550123, +12125550124"), "type": "address.released", "time": "2026-03-02T01:00:00Z"}
    decided, letters, _ = told(suppressed("+12125550123"), release, asked("r-1", "+12125550123"))
    assert (decided, letters) == ([SUPPRESSED], ["address.unreadable"])


def test_a_region_is_a_country() -> None:
    """A policy with a region that has no numbers is refused."""
    for region in ("UK", "Europe", "US-NY", "gb"):
        with pytest.raises(PolicyError):
            load_policy(POLICY | {"default_region": region})
