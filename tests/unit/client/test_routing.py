"""Routing: which topic and key a message gets, and what is said of a line that has none. No broker."""

import json

import pytest

from contactgate import names
from contactgate.client.routing import TYPES, Misrouted, loose_key, loose_kind, route
from contactgate.codec.tokens import Tokens

TOKENS = Tokens(b"k" * 32)


def line(**fields: object) -> bytes:
    """One message as a line."""
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"type": "notice.published", "notice_id": "n-1"}, b"notice:n-1"),
        ({"type": "party.updated", "party_id": "callcentre-7"}, b"party:callcentre-7"),
        ({"type": "campaign.updated", "campaign_id": "c-1"}, b"campaign:c-1"),
        ({"type": "policy.activated", "policy": "sha256:0"}, b"policy:active"),
        ({"type": "registry.published", "registry": "us-ndnc", "version": "3"}, b"registry:us-ndnc:3"),
        ({"type": "pause.set", "pause_id": "p-1"}, b"pause:p-1"),
        ({"type": "pause.lifted", "pause_id": "p-1"}, b"pause:p-1"),
    ],
)
def test_control_event_is_keyed_by_kind_and_id(fields, key):
    """A control event is keyed kind:id, so that a later one replaces it."""
    (routed,) = route(line(**fields))
    assert (routed.kind, routed.key) == ("control", key)


@pytest.mark.parametrize("kind", [name for name, kind in TYPES.items() if kind in {"consent", "request", "outcome"}])
def test_what_is_about_a_subject_is_keyed_by_the_subject_and_left_as_it_is(kind):
    """Consent, requests and outcomes keep their bytes and get the subject's id as key."""
    raw = line(type=kind, subject_id="käthe", extra=[1, 2])
    (routed,) = route(raw)
    assert routed.key == "käthe".encode()
    assert routed.value is raw


def test_a_suppression_by_address_becomes_one_by_token():
    """The clear address of a suppression leaves neither in the key nor in the value."""
    raw = line(type="address.suppressed", event_id="e", time="2026-01-01T00:00:00Z", address="+44 20 7946 0018")
    (routed,) = route(raw, TOKENS.suppressed)
    assert routed.key.decode() == TOKENS.contactable("voice", "+442079460018").token
    assert json.loads(routed.value)["address_token"] == routed.key.decode()
    assert b"7946" not in routed.value


def test_a_suppression_of_channels_of_two_families_is_sent_under_both_tokens():
    """One address that may be a number and a postal hash binds as both."""
    raw = line(type="address.suppressed", address="+442079460018", channels=["sms", "mail"])
    assert len({routed.key for routed in route(raw, TOKENS.suppressed)}) == 2


def test_a_suppression_without_the_token_key_says_what_to_do():
    """Without the key no token can be made: the message says to configure it or to give the token."""
    with pytest.raises(Misrouted, match="configure the token key"):
        route(line(type="address.suppressed", address="+442079460018"))


def test_a_suppression_by_token_needs_no_key():
    """A token is its own Kafka key."""
    (routed,) = route(line(type="address.released", address_token="a1.x"))
    assert (routed.kind, routed.key) == ("suppression", b"a1.x")


def test_an_address_that_cannot_be_read_is_not_repeated():
    """The error about an unreadable address does not contain it."""
    with pytest.raises(Misrouted) as caught:
        route(line(type="address.suppressed", address="night@@night", channels=["email"]), TOKENS.suppressed)
    assert "night" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "not a JSON object"),
        (b"\xff\xfe", "not a JSON object"),
        (b"[1]", "not an object"),
        (b"{}", "`type` is missing"),
        (b'{"type":"contact.wanted"}', "unknown type"),
        (b'{"type":"contact.requested"}', "`subject_id` is missing"),
        (b'{"type":"contact.requested","subject_id":7}', "`subject_id` is missing or is not a string"),
        (b'{"type":"registry.published","registry":"x"}', "`version` is missing"),
        (b"[" * 100_000, "not a JSON object"),
    ],
)
def test_a_line_without_a_route_is_told_what_is_wrong(raw, words):
    """Whatever cannot be routed is named with what to do."""
    with pytest.raises(Misrouted, match=words):
        route(raw)


def test_what_cannot_be_routed_can_still_be_sent_as_it_is():
    """For sending bad lines on: the subject's key if there is one, the topic of the type, else requests."""
    assert loose_key(b'{"type":"x","subject_id":"s"}') == b"s"
    assert loose_key(b"{") is None
    assert loose_kind(b'{"type":"consent.granted"}') == names.CONSENT
    assert loose_kind(b"\xff") == names.REQUEST
