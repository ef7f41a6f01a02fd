"""The stream of the demonstration: the group's world, everybody's history, and requests with life going on between.

Deterministic: the same seed, size and start give the same bytes. Reads no clock, sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import msgspec

from contactgate.client.routing import Routed, route
from contactgate.demo.people import Person, history, people, withdrawal
from contactgate.demo.times import DAY_MS, stamp
from contactgate.names import CONSENT, OUTCOME, REQUEST

REQUESTERS = ("callcentre-7", "mailhouse-2", "insurer")

_encode = msgspec.json.Encoder().encode

_OFFERS: tuple[tuple[int, str, str, str, tuple[str, ...], str | None], ...] = (
    # weight, requester, controller, purpose, channels, campaign
    (34, "callcentre-7", "bank", "marketing.insurance", ("voice",), "c-insurance-call"),
    (16, "mailhouse-2", "bank", "marketing.savings", ("mail", "email"), "c-savings-letter"),
    (18, "insurer", "insurer", "marketing.insurance", ("email", "sms"), "c-renewal"),
    (8, "callcentre-7", "bank", "collection", ("voice",), "c-arrears"),
    (8, "mailhouse-2", "bank", "service.statement", ("mail", "email"), "c-statements"),
    (4, "insurer", "insurer", "service.claim", ("voice", "sms"), "c-claims"),
    (3, "callcentre-7", "bank", "marketing.credit", ("voice",), "c-credit-draft"),
    (2, "mailhouse-2", "insurer", "marketing.insurance", ("mail",), "c-savings-letter"),
    (2, "callcentre-7", "insurer", "marketing.insurance", ("voice",), "c-insurance-call"),
    (1, "dialer-unknown", "bank", "marketing.insurance", ("voice",), "c-insurance-call"),
)


class Step(NamedTuple):
    """One record of the stream; `request_id` only when it is a well-formed request that is sent for the first time."""

    routed: Routed
    request_id: str | None
    malformed: bool = False


class Population:
    """Everything that is sent, in the order it is sent; `start_ms` is when the stream starts."""

    def __init__(self, seed: int, subjects: int, start_ms: int) -> None:
        self.seed = seed
        self.start_ms = start_ms
        self.people = people(seed, subjects)

    def world(self) -> Iterator[Routed]:
        """Notices, parties with agreements, campaigns approved by two people, a do-not-call list."""
        for event in self._world():
            yield from route(_encode(event))

    def history(self) -> Iterator[Routed]:
        """Profiles, consents and opt-outs from before the stream."""
        random = self._random("history")
        for person in self.people:
            for event in history(person, random, self.start_ms):
                yield Routed(CONSENT, person.subject_id.encode(), _encode(event))

    def stream(self, requests: int, rate: float) -> Iterator[Step]:
        """`requests` requests at `rate` a second; consents, opt-outs and malformed messages between them."""
        random = self._random("stream")
        hot = self.people[: max(1, len(self.people) // 40)]
        weights = [offer[0] for offer in _OFFERS]
        spoiled = {random.randrange(requests): index for index in range(len(_SPOILED))} if requests else {}
        for number in range(requests):
            now_ms = self.start_ms + int(number * 1000 / rate)
            person = random.choice(hot) if random.random() < 0.2 else random.choice(self.people)
            message = self._request(random, person, random.choices(_OFFERS, weights)[0], number, now_ms)
            key, value = person.subject_id.encode(), _encode(message)
            yield Step(Routed(REQUEST, key, value), message["request_id"])
            draw = random.random()
            if draw < 0.01:  # the one just asked about opts out: an open approval may have to be recalled
                yield Step(Routed(CONSENT, key, _encode(withdrawal(person, random, now_ms, f"w-{number}"))), None)
            elif draw < 0.016:
                yield Step(Routed(CONSENT, key, _encode(_renewed(person, now_ms, number))), None)
            elif draw < 0.019:
                yield Step(Routed(REQUEST, key, value), None)  # sent twice: the open approval again, no cap used
            elif draw < 0.02:
                yield Step(Routed(CONSENT, key, _encode(_erasure(person, now_ms, number))), None)
            if number in spoiled:
                yield Step(_spoiled(spoiled[number], person, now_ms, value), None, malformed=True)

    def _request(
        self, random: Random, person: Person, offer: tuple[Any, ...], number: int, now_ms: int
    ) -> dict[str, Any]:
        _, requester, controller, purpose, channels, campaign = offer
        channel = random.choice(channels)
        message: dict[str, Any] = {
            "type": "contact.requested",
            "request_id": f"r-{self.seed}-{number:07d}",
            "subject_id": person.subject_id,
            "time": stamp(now_ms),
            "requester": requester,
            "controller": controller,
            "campaign_id": campaign,
            "purpose": purpose,
            "channel": channel,
            "address": person.address(channel),
            "data_categories": ["basic"] if random.random() < 0.95 else ["credit"],
        }
        if purpose == "collection":
            message["matter_id"] = f"debt-{person.subject_id}-{random.randrange(2)}"
        draw = random.random()
        if draw < 0.01:
            message["not_before"] = stamp(now_ms + DAY_MS)
        elif draw < 0.015:
            message["not_after"] = stamp(now_ms - 60_000)
        return message

    def _random(self, part: str) -> Random:
        return Random(f"{part}:{self.seed}")  # noqa: S311 - a population, not a secret

    def _world(self) -> Iterator[dict[str, Any]]:
        year_ago, in_a_year = stamp(self.start_ms - 365 * DAY_MS), stamp(self.start_ms + 365 * DAY_MS)
        numbers = iter(range(1_000))

        def event(type_: str, **fields: Any) -> dict[str, Any]:
            return {"type": type_, "event_id": f"c-{next(numbers)}", "time": stamp(self.start_ms - DAY_MS), **fields}

        for controller, recipients in (("bank", ["bank", "callcentre-7", "mailhouse-2"]), ("insurer", ["insurer"])):
            yield event(
                "notice.published", notice_id=f"n-{controller}-2026", version=1, controller=controller,
                purposes=["marketing"], recipients=recipients, data_categories=["basic", "account"],
                effective_at=year_ago, text_sha256="0" * 64,
            )  # fmt: skip
        all_of_it = {"data_categories": ["basic", "account"], "valid_from": year_ago, "valid_until": in_a_year}
        for party, controller, purposes, channels in (
            ("callcentre-7", "bank", ["marketing", "collection"], ["voice"]),
            ("mailhouse-2", "bank", ["marketing", "service"], ["mail", "email"]),
            ("insurer", "insurer", ["marketing", "service"], ["voice", "sms", "email", "mail"]),
        ):
            agreement = {"controller": controller, "purposes": purposes, "channels": channels, **all_of_it}
            yield event("party.updated", party_id=party, status="active", agreements=[agreement])
        seen = set()
        for _, requester, controller, purpose, used, campaign in _OFFERS:
            if campaign is None or campaign in seen:
                continue
            seen.add(campaign)
            yield event(
                "campaign.updated", campaign_id=campaign, status="draft" if "draft" in campaign else "approved",
                controller=controller, requesters=[requester], purposes=[purpose], channels=list(used),
                created_by="ann", approved_by="bob", valid_from=year_ago, valid_until=in_a_year,
            )  # fmt: skip
        listed = sorted({person.phone for person in self.people if person.place.country == "US"})[::9]
        yield event(
            "registry.published", registry="us-ndnc", version="demo-1", as_of=stamp(self.start_ms - DAY_MS),
            kind="snapshot", entries=[{"address": number, "since": "2025-01-01"} for number in listed],
        )  # fmt: skip


def _renewed(person: Person, now_ms: int, number: int) -> dict[str, Any]:
    return {
        "type": "consent.granted",
        "event_id": f"g-{number}",
        "subject_id": person.subject_id,
        "time": stamp(now_ms),
        "controller": "bank",
        "purposes": ["marketing"],
        "channels": ["voice", "sms", "email", "mail"],
        "recipients": ["bank", "callcentre-7", "mailhouse-2"],
        "data_categories": ["basic"],
        "notice_id": "n-bank-2026",
        "evidence": {"method": "web", "ref": f"web-{number}"},
    }


def _erasure(person: Person, now_ms: int, number: int) -> dict[str, Any]:
    event_id = f"x-{number}"
    return {"type": "subject.erased", "event_id": event_id, "subject_id": person.subject_id, "time": stamp(now_ms)}


_SPOILED = ("json", "utf8", "twice", "type", "field", "key", "kind", "time", "nan", "outcome", "bom")


def _spoiled(index: int, person: Person, now_ms: int, request: bytes) -> Routed:
    """One malformed message of each sort; the gate must dead-letter every one and lose none."""
    key, sort = person.subject_id.encode(), _SPOILED[index]
    other = request.replace(b'"request_id":"r-', b'"request_id":"bad-', 1)
    when = stamp(now_ms).encode()
    changed = {
        "json": other[:-9],
        "utf8": other.replace(b'"data_categories"', b'"note":"\xff\xfe","data_categories"'),
        "twice": other.replace(b'"requester":', b'"requester":"someone","requester":', 1),
        "type": other.replace(b'"purpose":"', b'"purpose":7,"was":"', 1),
        "field": other.replace(b'"controller":', b'"controler":', 1),
        "kind": other.replace(b"contact.requested", b"contact.wanted", 1),
        "time": other.replace(when, b"1970-01-01T00:00:00Z", 1),
        "nan": other.replace(b'"data_categories"', b'"score":NaN,"data_categories"', 1),
        "bom": b"\xef\xbb\xbf" + other,
    }
    if sort == "key":
        return Routed(REQUEST, b"somebody-else", other)
    if sort == "outcome":
        message = {
            "type": "contact.outcome",
            "event_id": f"o-unknown-{now_ms}",
            "request_id": "r-never-made",
            "subject_id": person.subject_id,
            "time": stamp(now_ms),
            "outcome": "answered",
        }
        return Routed(OUTCOME, key, _encode(message))
    return Routed(REQUEST, key, changed[sort])
