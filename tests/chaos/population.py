"""The people of a chaos run and the messages about them, as bytes: valid, late, repeated, malformed and huge ones.

Seeded and without I/O. Addresses are canaries: the checker looks for exactly these in everything contactgate writes.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

REQUESTERS = ("bank", "callcentre", "mailhouse")
CONTROLLERS = ("bank", "insurer")
EMAIL_DOMAIN = "canary.example"

_SECOND_MS = 1_000
_GRANTED = (b'"voice","email"',) * 8 + (b'"voice"',) * 4 + (b'"email"',) * 4 + (b'"voice","fax"', b'"Voice","email"')
"""Channels of a consent; one with a word that nobody knows gives nothing, nor does another spelling."""
_FLAGS = (
    *(b'"flags_removed":["minor","vulnerable"],"by":"desk"',) * 6,
    b'"flags":[],"flags_removed":["minor"],"by":"desk"',
    b'"flags_removed":["minor"]',  # nobody says who: a dead letter
    b'"flags":[]', b'"flags":[]', b'"flags":null', b'"flags":["business"]',  # none of these ends one that lasts
    b'"flags":["minor"]', b'"flags":["Vulnerable"]', b'"flags":["tourist"]', b'"flags":["minor","tourist"]',
)  # fmt: skip


class Message(NamedTuple):
    """One record to send, to one partition."""

    key: bytes | None
    value: bytes | None


def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's default partitioner."""
    h = (0x9747B28C ^ len(key)) & 0xFFFFFFFF
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * 0x5BD1E995 & 0xFFFFFFFF
        k = (k ^ k >> 24) * 0x5BD1E995 & 0xFFFFFFFF
        h = h * 0x5BD1E995 & 0xFFFFFFFF ^ k
    if len(key) > whole:
        h = (h ^ int.from_bytes(key[whole:], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return ((h ^ h >> 15) & 0x7FFFFFFF) % partitions


def stamp(at_ms: int) -> bytes:
    """RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(at_ms // _SECOND_MS, UTC)
    return b"%b.%03dZ" % (moment.strftime("%Y-%m-%dT%H:%M:%S").encode(), at_ms % _SECOND_MS)


def spelled(address: bytes, draw: float) -> bytes:
    """One of the ways in which an address is written, chosen by `draw` in [0, 1): mostly the plain one."""
    text = address.decode()
    if "@" in text:
        name, _, domain = text.partition("@")
        ways = [text.upper(), f"{name.title()}@{domain}", text + "."]
    else:
        area, office, line = text[2:5], text[5:8], text[8:]
        wide = "".join(chr(ord(char) + 0xFEE0) for char in text)
        ways = [f"+1 ({area}) {office}-{line}", f"tel:+1-{area}-{office}-{line}", f"001{area}{office}{line}", wide]
    place = int(draw * 4 * len(ways))
    return ways[place].encode() if place < len(ways) else address


class People:
    """Who there is, and what is said about them."""

    def __init__(self, seed: int, subjects: int, partitions: int) -> None:
        self.random = random.Random(seed)
        self.keys = [b"subject-%06d" % number for number in range(subjects)]
        # Every fiftieth shares a telephone with the one before: a suppression binds both.
        self.phones = [b"+1202%07d" % (2_000_000 + n - (n % 50 == 49)) for n in range(subjects)]
        self.emails = [b"person.%d@%b" % (number, EMAIL_DOMAIN.encode()) for number in range(subjects)]
        self.partition = [partition_of(key, partitions) for key in self.keys]
        self.by_partition: list[list[int]] = [[] for _ in range(partitions)]
        for number, partition in enumerate(self.partition):
            self.by_partition[partition].append(number)
        self.partitions = partitions
        self._events = 0
        self._asked: list[deque[Message]] = [deque(maxlen=400) for _ in range(partitions)]
        self._told: list[deque[Message]] = [deque(maxlen=100) for _ in range(partitions)]

    def somebody(self, partition: int) -> int:
        """A subject of a partition; a tenth of them get half of the attention, so that caps are reached."""
        those = self.by_partition[partition]
        rnd = self.random.random()
        return those[int(rnd * 2 * max(1, len(those) // 10))] if rnd < 0.5 else those[int(rnd * len(those))]

    # --- requests -------------------------------------------------------------------------------------------------

    def request(self, request_id: bytes, number: int, at_ms: int, draw: float) -> Message:
        """A request; `draw` in [0, 1) chooses channel, controller and requester."""
        voice = draw < 0.6
        controller = b"insurer" if draw * 7 % 1 < 0.15 else b"bank"
        requester = REQUESTERS[int(draw * 91 % 1 * 3)].encode()
        message = Message(
            self.keys[number],
            b'{"type":"contact.requested","request_id":"%b","subject_id":"%b","time":"%b","requester":"%b",'
            b'"controller":"%b","purpose":"marketing.%b","channel":"%b","address":"%b"}'
            % (
                request_id, self.keys[number], stamp(at_ms), requester, controller,
                b"loans" if draw * 13 % 1 < 0.8 else b"cards",
                b"voice" if voice else b"email",
                spelled(self.phones[number] if voice else self.emails[number], draw * 57 % 1),
            ),
        )  # fmt: skip
        if draw * 31 % 1 < 0.1:
            self._asked[self.partition[number]].append(message)
        return message

    def asked_before(self, partition: int, at_ms: int) -> Message | None:
        """A request that was sent before: to the byte, with another time, or for something else under its name.

        Mostly one of those that were sent last, whose approvals may still be open.
        """
        known, pick = self._asked[partition], self.random
        if not known:
            return None
        last = len(known) - 1
        key, value = known[
            last - pick.randrange(min(last + 1, 40)) if pick.random() < 0.6 else pick.randrange(last + 1)
        ]
        draw, value = pick.random(), value or b""
        if draw < 0.2:
            head, _, rest = value.partition(b'"time":"')
            value = head + b'"time":"' + stamp(at_ms) + rest[rest.index(b'"') :]
        elif draw < 0.35:
            loans, cards = b'"marketing.loans"', b'"marketing.cards"'
            value = value.replace(loans, cards) if loans in value else value.replace(cards, loans)
        elif draw < 0.4:
            value = value[:-1] + b',"mode":"autodialled"}'
        return Message(key, value)

    # --- consent events -------------------------------------------------------------------------------------------

    def _event(self) -> bytes:
        self._events += 1
        return b"e%d" % self._events

    def _time(self, at_ms: int) -> bytes:
        """Now, late by up to two minutes (one in twelve), or by a clock that is ahead by up to twenty seconds."""
        draw = self.random.random()
        if draw < 1 / 12:
            return stamp(at_ms - self.random.randrange(120_000))
        return stamp(at_ms + self.random.randrange(20_000) if draw > 0.98 else at_ms)

    def first_grant(self, number: int, at_ms: int) -> Message:
        """What nearly everybody agreed to before the run."""
        return self._grant(number, stamp(at_ms), b"bank", b'"marketing"', b'"voice","email"',
                           b',"recipients":["bank","callcentre","mailhouse"]')  # fmt: skip

    def _grant(
        self, number: int, time: bytes, controller: bytes, purposes: bytes, channels: bytes, more: bytes
    ) -> Message:
        return Message(
            self.keys[number],
            b'{"type":"consent.granted","event_id":"%b","subject_id":"%b","time":"%b","controller":"%b",'
            b'"purposes":[%b],"channels":[%b],"data_categories":["basic","account"]%b}'
            % (self._event(), self.keys[number], time, controller, purposes, channels, more),
        )

    def grant(self, number: int, at_ms: int) -> Message:
        """Some consent."""
        pick = self.random
        more = b"" if pick.random() < 0.1 else b',"recipients":["bank","callcentre","mailhouse"]'
        if pick.random() < 0.15:
            more = b',"recipients":["callcentre"]'
        if pick.random() < 0.1:
            more += b',"expires_at":"%b"' % stamp(at_ms + pick.randrange(1_000, 60_000))
        elif pick.random() < 0.05:
            more += b',"effective_at":"%b"' % stamp(at_ms + pick.randrange(5_000))
        return self._grant(
            number, self._time(at_ms), pick.choice((b"bank", b"bank", b"bank", b"insurer")),
            pick.choice((b'"marketing"', b'"marketing"', b'"marketing.loans"', b'"marketing.loans","marketing.cards"')),
            pick.choice(_GRANTED), more,
        )  # fmt: skip

    def withdrawal(self, number: int, at_ms: int) -> Message:
        """Some opt-out; a third of them from everything."""
        pick = self.random
        more = b""
        if pick.random() > 0.35:
            more = pick.choice((
                b',"controller":"bank"', b',"controller":"insurer"', b',"channels":["voice"]', b',"channels":["email"]',
                b',"controller":"bank","purposes":["marketing"]', b',"purposes":["marketing.loans"]',
                b',"controller":"bank","recipients":["callcentre"]',
                b',"channels":["Phone"]', b',"channels":["E-Mail "]',
                b',"controller":"BANK","purposes":["Marketing"]', b',"channels":["fax"]',
                b',"controller":"bank","purposes":["promotions"]', b',"controller":"bank","recipients":["CallCentre"]',
            ))  # fmt: skip
        return Message(
            self.keys[number],
            b'{"type":"consent.withdrawn","event_id":"%b","subject_id":"%b","time":"%b"%b}'
            % (self._event(), self.keys[number], self._time(at_ms), more),
        )

    def told(self, number: int, at_ms: int) -> Message:
        """An erasure, a complaint, or a change of flags."""
        pick = self.random
        kind = pick.random()
        start = (self._event(), self.keys[number], self._time(at_ms))
        if kind < 0.3:
            return Message(
                self.keys[number], b'{"type":"subject.erased","event_id":"%b","subject_id":"%b","time":"%b"}' % start
            )
        if kind < 0.65:
            more = pick.choice((b"", b',"controller":"bank"', b',"controller":"bank","channel":"voice"',
                                b',"controller":"Bank","channel":"telephone"', b',"channel":"pager"'))  # fmt: skip
            return Message(
                self.keys[number],
                b'{"type":"complaint.received","event_id":"%b","subject_id":"%b","time":"%b"%b}' % (*start, more),
            )
        return Message(
            self.keys[number],
            b'{"type":"subject.updated","event_id":"%b","subject_id":"%b","time":"%b",%b}'
            % (*start, pick.choice(_FLAGS)),
        )

    def consent_event(self, partition: int, at_ms: int, approved: int | None = None) -> Message:
        """Any event about a subject, `approved` if given; one in fifty is an old one again."""
        pick = self.random.random()
        known = self._told[partition]
        if pick < 0.02 and known:
            return known[self.random.randrange(len(known))]
        number = self.somebody(partition) if approved is None else approved
        if pick < 0.035:
            return self.bad_consent(number, at_ms)
        if pick < 0.1:
            made = self.told(number, at_ms)
        elif pick < 0.62 and approved is None:
            made = self.grant(number, at_ms)
        else:
            made = self.withdrawal(number, at_ms)
        # What erases or flags has no name in the state; sent again it would count as come again.
        if b'"subject.' not in (made.value or b""):
            known.append(made)
        return made

    # --- outcomes, suppressions -----------------------------------------------------------------------------------

    def outcome(self, request_id: bytes, number: int, at_ms: int) -> Message:
        """What became of an approved contact."""
        pick = self.random
        word = pick.choices(
            (b"answered", b"delivered", b"no_answer", b"busy", b"bounced", b"voicemail", b"not_attempted", b"refused",
             b"unsubscribed", b"complained", b"wrong_number", b"not_connected"),
            (30, 20, 12, 8, 6, 6, 8, 3, 4, 1, 0.5, 2),
        )[0]  # fmt: skip
        return Message(
            self.keys[number],
            b'{"type":"contact.outcome","event_id":"%b","request_id":"%b","subject_id":"%b","time":"%b","outcome":"%b"}'
            % (self._event(), request_id, self.keys[number], stamp(at_ms), word),
        )

    def suppression(self, number: int, at_ms: int, token_of: Callable[[bytes], bytes], *, lift: bool) -> Message:
        """An address that must not be used any more, or may be again."""
        pick = self.random
        address = self.phones[number] if pick.random() < 0.6 or lift else self.emails[number]
        kind, more = b"address.suppressed", b',"reason":"manual"'
        told_ms = at_ms
        if lift:
            kind = b"address.released"
            told_ms -= 600_000 if pick.random() < 0.2 else 0  # an older one lifts nothing
        elif pick.random() < 0.3:
            more += b',"expires_at":"%b"' % stamp(at_ms + pick.randrange(2_000, 40_000))
        return Message(
            token_of(address),
            b'{"type":"%b","event_id":"%b","time":"%b","address":"%b"%b}'
            % (kind, self._event(), stamp(told_ms), spelled(address, pick.random()), more),
        )

    def pause(self, name: bytes, scope: bytes, at_ms: int) -> Message:
        """Something is stopped."""
        head = b'{"type":"pause.set","event_id":"%b","time":"%b","pause_id":"%b","scope":%b}'
        return Message(b"pause:" + name, head % (self._event(), stamp(at_ms), name, scope))

    def lifts(self, name: bytes, at_ms: int) -> list[Message]:
        """It goes on; now and then somebody tries before with a record that nobody signed, or that is older."""
        head = b'{"type":"pause.lifted","event_id":"%b","time":"%b","pause_id":"%b"%b}'
        tries = [(at_ms, b',"by":"ops"')]
        draw = self.random.random()
        if draw < 0.4:
            tries.insert(0, (at_ms, b"") if draw < 0.2 else (at_ms - 600_000, b',"by":"ops"'))
        return [Message(b"pause:" + name, head % (self._event(), stamp(ms), name, by)) for ms, by in tries]

    # --- what cannot be read --------------------------------------------------------------------------------------

    def bad_request(self, number: int, at_ms: int) -> Message:
        """A request that must become a dead letter."""
        good = self.request(b"bad-" + self._event(), number, at_ms, self.random.random() * 0.99)
        value, key = good.value or b"", good.key
        kind = self.random.randrange(11)
        if kind == 0:
            return Message(key, value[:-20])
        if kind == 1:
            return Message(key, self.random.randbytes(40))
        if kind == 2:
            return Message(key, value.replace(b'"purpose"', b'"porpoise"'))
        if kind == 3:
            return Message(self.keys[number - 1], value)
        if kind == 4:
            return Message(key, None)
        if kind == 5:
            return Message(key, value[:-1] + b',"channel":"email"}')
        if kind == 6:
            return Message(None, value)
        if kind == 7:
            return Message(key, value.replace(b"contact.requested", b"contact.demanded"))
        if kind == 8:
            return Message(key, value.replace(stamp(at_ms), b"yesterday"))
        if kind == 9:
            return Message(key, b"[" + value + b"]")
        return Message(key, value[:-1] + b',"note":"%b"}' % (b"x" * self.random.randrange(66_000, 90_000)))

    def bad_consent(self, number: int, at_ms: int) -> Message:
        """An event that must become a dead letter; if it was to restrict, it binds all the same."""
        key = self.keys[number]
        kind = self.random.randrange(7)
        head = b'"event_id":"%b","subject_id":"%b","time":' % (self._event(), key)
        now = b'"%b"' % stamp(at_ms)
        if kind == 0:  # widest: everything, at the time of arrival
            return Message(key, b'{"type":"consent.granted","type":"consent.withdrawn",' + head + now + b"}")
        if kind == 1:  # widest: as it stands, at the time of arrival
            return Message(key, b'{"type":"consent.withdrawn",' + head + b'"tomorrow","channels":["voice"]}')
        if kind == 2:
            return Message(key, b'{"type":"subject.erased",' + head + b'"2093-01-01T00:00:00Z"}')
        if kind == 3:  # a grant without purposes gives nothing
            return Message(
                key, b'{"type":"consent.granted",' + head + now + b',"controller":"bank","channels":["voice"]}'
            )
        if kind == 4:
            return Message(key, self.random.randbytes(60))
        if kind == 5:
            grant = self.grant(number, at_ms).value or b""
            return Message(key, grant[:-1] + b',"note":"%b"}' % (b"y" * self.random.randrange(66_000, 90_000)))
        return Message(key, b'{"type":"contact.outcome",' + head + now + b',"request_id":"q0-0","outcome":"answered"}')
