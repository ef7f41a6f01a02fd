"""A policy document -> one valid `CompiledPolicy`, or PolicyError with every fault at once and its place.

Must never return a policy that was not checked whole, and never stop at the first fault.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from contactgate.errors import Fault, PolicyError
from contactgate.policy import checks, reading, zones
from contactgate.policy.compiled import CompiledPolicy
from contactgate.policy.document import PolicyDoc
from contactgate.policy.faults import faults
from contactgate.policy.packs import Pack, PackLibrary, canonical, digest, shipped
from contactgate.policy.rules import compile_source
from contactgate.policy.words import nearest

TITLE = "the policy is wrong"


def load_policy(source: str | bytes | dict[str, Any], *, packs: PackLibrary | None = None) -> CompiledPolicy:
    """Read, check and compile. `packs` defaults to those that ship with contactgate.

    Raises PolicyError: its `faults` hold everything that is wrong, in the document's order.
    """
    library = shipped() if packs is None else packs
    raw: dict[str, Any] = source if isinstance(source, dict) else reading.read(source, TITLE)
    try:
        document = PolicyDoc.model_validate(raw)
    except ValidationError as error:
        found = [*faults(error, PolicyDoc, raw), *_pack_faults(raw.get("packs"), library)]
        raise PolicyError(TITLE, tuple(found)) from None
    unknown = _pack_faults(document.packs, library)
    chosen = tuple(library.get(name) for name in document.packs if name in library.names())
    known = [*document.purposes, *(purpose for pack in chosen for purpose in pack.document.purposes)]
    wrong = [
        *unknown,
        *checks.document_faults(document, raw),
        *(() if unknown else checks.filter_faults(document, known)),
    ]
    if wrong:
        raise PolicyError(TITLE, tuple(wrong))
    house = compile_source(document, "policy", None, None, None)
    return CompiledPolicy(document, house, chosen, policy_hash(document, chosen))


def policy_hash(document: PolicyDoc, packs: tuple[Pack, ...]) -> str:
    """The policy's name in every decision: everything that can change one, and nothing that cannot.

    Over canonical JSON of the normalised document (spelling of durations, order of keys, comments and format do not
    matter), the content of each chosen pack, and the versions of the time zone and holiday data.
    """
    whole = {
        "document": json.loads(canonical(document)),
        "packs": {pack.name: pack.hash for pack in packs},
        "data": zones.versions(),
    }
    return digest(json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii"))


def _pack_faults(names: object, library: PackLibrary) -> list[Fault]:
    found: list[Fault] = []
    seen: set[str] = set()
    for position, name in enumerate(names if isinstance(names, list) else []):
        if not isinstance(name, str):
            continue
        place = f"packs[{position}]"
        if name not in library.names():
            hint = nearest(name, library.names()) or f": choose from {', '.join(library.names())}"
            found.append(Fault(place, f"no pack is called `{name}`{hint}"))
        elif name in seen:
            found.append(Fault(place, f"`{name}` stands twice"))
        seen.add(name)
    return found
