"""A contact request as the core sees it: addresses are keyed tokens, instants are milliseconds.

`codec.messages` makes a `Request` from the wire message; the clear address ends there. Must never hold one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Mode = Literal["live", "autodialled", "prerecorded"]
"""How a call is made; policies may forbid machines what they allow people."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request to contact one person once."""

    request_id: str
    subject_id: str
    time_ms: int
    requester: str
    controller: str
    purpose: str
    channel: str
    campaign: str | None = None
    categories: tuple[str, ...] = ()
    matter: str | None = None
    mode: Mode = "live"
    address: str | None = None  # keyed token
    address_fault: bool = False  # an address was given but cannot be read: request.malformed
    number_zones: tuple[str, ...] = ()  # IANA zones the number may be in; () unknown, or not a number
    number_jurisdictions: tuple[str, ...] = ()
    not_before_ms: int | None = None
    not_after_ms: int | None = None
    jurisdictions: tuple[str, ...] = ()
    malformed: str | None = None  # a key or field that cannot be meant as it stands: request.malformed
    address_forms: tuple[str, ...] = ()  # tokens of the subscriber's other written forms

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every token that stands for the address; () without one."""
        return () if self.address is None else (self.address, *self.address_forms)
