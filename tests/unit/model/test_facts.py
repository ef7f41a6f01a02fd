"""Named constructors of contacts: what an approval keeps of its request, and what nobody has told stays unknown."""

from contactgate.core.decide import differs, request_of
from contactgate.model.facts import Contact
from contactgate.model.request import Request

REQUEST = Request(
    request_id="r-1",
    subject_id="s-1",
    time_ms=5,
    requester="dialer",
    controller="bank",
    purpose="marketing.insurance",
    channel="voice",
    campaign="c-1",
    categories=("income",),
    matter="m-1",
    mode="prerecorded",
    address="a1.token",
    number_zones=("America/New_York",),
    number_jurisdictions=("US",),
    jurisdictions=("US-FL",),
)


def test_an_approval_keeps_what_its_review_asks_for() -> None:
    """The request made from an approval asks for the same contact, in the same zones and by the same means."""
    contact = Contact.approved(REQUEST, ("income",), ("US", "US-FL"), at_ms=7, valid_until_ms=9)
    again = request_of(contact)
    assert differs(contact, REQUEST) is None
    assert (again.matter, again.mode, again.number_zones) == ("m-1", "prerecorded", ("America/New_York",))
    assert again.jurisdictions == ("US", "US-FL")
    assert (contact.time_ms, contact.valid_until_ms, contact.is_observed) == (7, 9, False)
    assert (contact.outcome, contact.outcome_ms, contact.recalled, contact.complaint) == (None, 0, None, False)


def test_an_observed_contact_says_no_more_than_its_event() -> None:
    """What the event leaves out is empty, its matters are a sorted set, and it holds no place as an approval."""
    contact = Contact.observed(
        event_id="e-1",
        time_ms=7,
        outcome="answered",
        channel="voice",
        purpose="service",
        controller="bank",
        matters=("m-2", "m-1", "m-2"),
    )
    assert contact.is_observed
    assert (contact.matters, contact.event_id, contact.outcome_ms) == (("m-1", "m-2"), "e-1", 7)
    assert (contact.request_id, contact.valid_until_ms, contact.requester) == ("", 0, "")
    assert (contact.campaign, contact.address, contact.complaint) == (None, None, False)
