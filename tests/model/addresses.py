"""Addresses in the slow model: which spellings are one subscriber (SEMANTICS rules 52 and 54).

Knows the few numbering plans that the random histories use, written down from the rules and not from any library's
table. Must never import contactgate.
"""

from __future__ import annotations

import re
from typing import Any

Event = dict[str, Any]

TRUNK = {"US": ("1", "1"), "GB": ("44", "0"), "BR": ("55", "0"), "MX": ("52", "")}
"""Region: its calling code, and what is dialled before a number at home."""
LENGTHS = {"US": (10,), "GB": (10,), "BR": (10, 11), "MX": (10,)}
"""How many digits a number of the region has without either."""


def _bare(written: str) -> str:
    """A number without scheme and separators; what is no number stays as it is."""
    return re.sub(r"[\s().\-/]", "", written.removeprefix("tel:"))


def _today(number: str) -> str:
    """The form that is dialled today, of a number with its calling code."""
    if re.fullmatch(r"\+521[2-9]\d{9}", number):  # Mexico: the 1 was dropped in 2019
        return "+52" + number[4:]
    if re.fullmatch(r"\+55\d\d[6-9]\d{7}", number):  # Brazil: mobiles got a ninth digit
        return number[:5] + "9" + number[5:]
    if re.fullmatch(r"\+225\d{8}", number):  # Ivory Coast: by the operator's digit, 2021
        second = number[5]
        return "+225" + ("01" if second in "0123" else "05" if second in "456" else "07") + number[4:]
    if re.fullmatch(r"\+229[2-9]\d{7}", number):  # Benin: 01 before all, 2024
        return "+22901" + number[4:]
    return number


def number(written: str, region: str | None) -> str | None:
    """The subscriber's number; None if it cannot be read."""
    bare = _bare(written)
    if bare.startswith("00"):
        bare = "+" + bare[2:]
    if bare.startswith("+440"):
        bare = "+44" + bare[4:]
    if re.fullmatch(r"\+\d{7,15}", bare):
        return _today(bare)
    if region is None or not re.fullmatch(r"\d{5,15}", bare):
        return None
    code, trunk = TRUNK[region]
    for before in (trunk, "", code):
        if bare.startswith(before) and len(bare) - len(before) in LENGTHS[region]:
            return _today(f"+{code}{bare[len(before) :]}")
    return None


def mailbox(written: str) -> str | None:
    """The mailbox; None if it cannot be read."""
    inner = re.fullmatch(r"[^<>@]*<([^<>]+)>", written.strip())
    found = (inner[1] if inner else written).strip().removeprefix("mailto:").lower()
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", found):
        return None
    return found.replace("@googlemail.com", "@gmail.com")


def canonical(channel: str, written: str, region: str | None) -> str | None:
    """What stands for the address of a contact on a channel; None if it cannot be read."""
    if channel == "email":
        return mailbox(written)
    if channel == "mail":
        return "post " + " ".join(written.lower().split())
    return number(written, region)


def request_read(request: Event, policy: Event) -> Event:
    """The request with address and places as they are compared; without the address if it cannot be read."""
    read = {**request}
    if request.get("address"):
        read["address"] = canonical(request["channel"], request["address"], policy.get("default_region"))
    if request.get("jurisdictions"):
        read["jurisdictions"] = sorted({place(code) for code in request["jurisdictions"]})
    return {k: v for k, v in read.items() if v is not None}


def observed_address(event: Event, policy: Event) -> str | None:
    """The address of a contact that others report; a wrong number is known as it was written, and read when asked."""
    if not event.get("address"):
        return None
    region = policy.get("default_region") if event["outcome"] == "wrong_number" else None
    return canonical(event["channel"], event["address"], region)


def list_read(published: Event, policy: Event) -> Event:
    """A list with its numbers as they are compared, in the region of the policy that is in force when it comes."""

    def read(written: str) -> str:
        return number(written, policy.get("default_region")) or written

    entries = [{**e, "address": read(e["address"])} for e in published.get("entries") or []]
    removed = published.get("removed")
    return {**published, "entries": entries, "removed": removed and [read(a) for a in removed]}


def meant(stop: Event, policy: Event) -> set[str]:
    """Everything that the address of a suppression or of a release may be, under the policy that is asked."""
    written = stop["address"]
    if stop.get("kind") == "postal" or stop.get("channels") == ["mail"]:
        return {str(canonical("mail", written, None))}
    parts = [part.strip() for part in re.split(r"[,;]| and ", written)]
    region = policy.get("default_region")
    found = {mailbox(part) if "@" in part else number(part, region) for part in parts}
    return {one for one in found if one is not None}


def at_home(stop: Event) -> bool:
    """Whether a number was written without its calling code: what it stands for depends on a region."""
    return re.fullmatch(r"\d{5,15}", _bare(stop["address"])) is not None


# --- places ----------------------------------------------------------------------------------------------------------

PLACES = {"US", "US-NY", "GB", "CA"}
"""The codes of ISO 3166 that the random histories name."""


def place(code: str) -> str:
    """The code as ISO 3166 has it."""
    return "GB" + code[2:] if code == "UK" or code.startswith("UK-") else code


def unknown_places(codes: list[str]) -> bool:
    """Whether one of these is no code of a place."""
    return not {place(code) for code in codes} <= PLACES
