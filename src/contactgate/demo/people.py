"""Invented people of a financial group: where they live, how they are reached, what they agreed to. Pure, by seed.

Telephone numbers come from the ranges that the United States, Britain, France, Germany and Australia reserve for
fiction (China has none: a number is made up there); e-mail addresses end in `.example`. Must never name a real person.
"""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

from contactgate.demo.times import DAY_MS, stamp


class Place(NamedTuple):
    """A town: country, time zone and the start of its numbers; `width` digits follow."""

    country: str
    zone: str
    numbers: str
    width: int


PLACES = (
    Place("CN", "Asia/Shanghai", "+86138000", 5),
    Place("US", "America/New_York", "+121255501", 2),
    Place("US", "America/New_York", "+161755501", 2),
    Place("US", "America/Chicago", "+131255501", 2),
    Place("US", "America/Denver", "+130355501", 2),
    Place("US", "America/Los_Angeles", "+121355501", 2),
    Place("US", "America/Los_Angeles", "+141555501", 2),
    Place("US", "Pacific/Honolulu", "+180855501", 2),
    Place("GB", "Europe/London", "+4420794600", 2),
    Place("GB", "Europe/London", "+441614960", 3),
    Place("GB", "Europe/London", "+441314960", 3),
    Place("FR", "Europe/Paris", "+3319900", 4),
    Place("FR", "Europe/Paris", "+3346571", 4),
    Place("DE", "Europe/Berlin", "+493023125", 3),
    Place("DE", "Europe/Berlin", "+498999998", 3),
    Place("AU", "Australia/Sydney", "+6125550", 4),
    Place("AU", "Australia/Sydney", "+6127010", 4),
    Place("AU", "Australia/Perth", "+6185550", 4),
)
_PARTS = {"CN": 28, "US": 24, "GB": 14, "FR": 13, "DE": 11, "AU": 10}  # per cent of the population
_EVIDENCE = ("written", "esign", "recorded_call", "web", "double_opt_in")
_NARROW = ("marketing.insurance", "marketing.savings", "marketing.credit")


class Person(NamedTuple):
    """One subject and how it is reached."""

    subject_id: str
    place: Place
    phone: str
    email: str
    postal: str

    def address(self, channel: str) -> str:
        """The address for a channel."""
        return {"email": self.email, "mail": self.postal}.get(channel, self.phone)


def people(seed: int, count: int) -> list[Person]:
    """`count` people, the same for the same seed. Small ranges are shared by several, as a household shares a phone."""
    random = Random(f"people:{seed}")  # noqa: S311 - a population, not a secret
    by_country: dict[str, list[Place]] = {}
    for place in PLACES:
        by_country.setdefault(place.country, []).append(place)
    countries = random.choices(list(_PARTS), weights=list(_PARTS.values()), k=count)
    found = []
    for index, country in enumerate(countries):
        place = random.choice(by_country[country])
        number = random.randrange(10**place.width)
        found.append(
            Person(
                subject_id=f"p-{index:06d}",
                place=place,
                phone=f"{place.numbers}{number:0{place.width}d}",
                email=f"person{index:06d}@{random.choice(('mail', 'post', 'inbox'))}.example",
                postal=f"{index:06d} {random.choice(('Mill Lane', 'High Street', 'Station Road'))}, {country}",
            )
        )
    return found


def history(person: Person, random: Random, start_ms: int) -> list[dict[str, Any]]:
    """What is known of a person before the stream starts: profile, consents of different breadth, opt-outs."""
    events = [_profile(person, random, start_ms)]
    breadth = random.random()
    if breadth >= 0.08:  # the rest never agreed to anything
        events.append(_grant(person, random, start_ms, "bank", breadth))
    if random.random() < 0.55:
        events.append(_grant(person, random, start_ms, "insurer", random.random()))
    if random.random() < 0.06:
        events.append(withdrawal(person, random, start_ms - random.randrange(2, 20) * DAY_MS, f"h-{person.subject_id}"))
    if random.random() < 0.01:  # a late, older grant: must not revive anything
        late = _grant(person, random, start_ms - 200 * DAY_MS, "bank", 0.9)
        events.append({**late, "event_id": f"{late['event_id']}-late"})
    if random.random() < 0.002:
        events.append(_event("subject.erased", person, start_ms - DAY_MS, "e"))
    return events


def withdrawal(person: Person, random: Random, time_ms: int, event_id: str) -> dict[str, Any]:
    """An opt-out: of everything, of one controller, or of one channel or purpose there."""
    event = _event("consent.withdrawn", person, time_ms, "w")
    event["event_id"] = event_id
    kind = random.random()
    if kind < 0.4:
        return event
    event["controller"] = random.choice(("bank", "insurer"))
    if kind < 0.65:
        event["channels"] = [random.choice(("voice", "email", "sms", "mail"))]
    elif kind < 0.85:
        event["purposes"] = [random.choice(("marketing", *_NARROW))]
    return event


def _profile(person: Person, random: Random, start_ms: int) -> dict[str, Any]:
    event = _event("subject.updated", person, start_ms - 300 * DAY_MS, "u")
    event["jurisdictions"] = [person.place.country]
    if random.random() < 0.8:  # of the others, only the number says where they may be
        event["timezone"] = person.place.zone
    draw = random.random()
    for flag, part in (("minor", 0.01), ("deceased", 0.005), ("vulnerable", 0.01), ("business", 0.03)):
        if draw < part:
            event["flags"] = [flag]
            break
        draw -= part
    if random.random() < 0.05:
        start = random.choice(("10:00", "13:00", "17:00"))
        event["preferred_windows"] = [
            {"days": ["mon", "tue", "wed", "thu", "fri", "sat"], "from": start, "to": "19:30"}
        ]
    return event


def _grant(person: Person, random: Random, start_ms: int, controller: str, breadth: float) -> dict[str, Any]:
    event = _event("consent.granted", person, start_ms - random.randrange(30, 280) * DAY_MS, f"g-{controller}")
    event["controller"] = controller
    wide = breadth > 0.45
    event["purposes"] = ["marketing"] if wide else sorted(random.sample(_NARROW, random.choice((1, 2))))
    channels = ["voice", "sms", "email", "mail"]
    event["channels"] = channels if wide else sorted(random.sample(channels, random.choice((1, 2, 3))))
    if controller == "bank":
        event["recipients"] = (
            ["bank", "callcentre-7", "mailhouse-2"] if wide else [random.choice(("callcentre-7", "mailhouse-2"))]
        )
    event["data_categories"] = ["account", "basic"] if wide else ["basic"]
    event["notice_id"] = f"n-{controller}-2026" if random.random() > 0.02 else "n-forgotten"
    method = random.choice(_EVIDENCE) if random.random() > 0.03 else "spoken"
    event["evidence"] = {"method": method, "ref": f"doc-{random.randrange(10**6):06d}"}
    if random.random() < 0.04:
        event["expires_at"] = stamp(start_ms - random.randrange(1, 20) * DAY_MS)
    elif random.random() < 0.3:
        event["expires_at"] = stamp(start_ms + random.randrange(30, 700) * DAY_MS)
    return event


def _event(kind: str, person: Person, time_ms: int, tag: str) -> dict[str, Any]:
    return {
        "type": kind,
        "event_id": f"{tag}-{person.subject_id}",
        "subject_id": person.subject_id,
        "time": stamp(time_ms),
    }
