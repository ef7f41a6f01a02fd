"""The library of packs: the rules of jurisdictions, shipped as data in `policy/packs/*.yaml`, checked when first used.

Must never let a fact of low confidence loosen anything, and never change a pack: it is data of the package, and its
content is part of every hash of a policy that chooses it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ValidationError

from contactgate.errors import Fault, PolicyError
from contactgate.policy import checks, reading
from contactgate.policy.document import PackDoc
from contactgate.policy.faults import faults
from contactgate.policy.rules import Source, compile_source


def canonical(doc: BaseModel) -> bytes:
    """The one byte form of a document: normalised values, sorted keys, no spaces, ASCII."""
    return json.dumps(
        doc.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":"), ensure_ascii=True
    ).encode("ascii")


def digest(data: bytes) -> str:
    """`sha256:` and the hash in hex."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Pack:
    """One pack: as written, as compiled, and the hash of its content."""

    name: str
    document: PackDoc
    source: Source
    hash: str


class PackLibrary:
    """Packs by name. `texts` maps a name to its YAML text."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)
        self._packs: dict[str, Pack] = {}

    def names(self) -> tuple[str, ...]:
        """Every pack there is, sorted."""
        return tuple(sorted(self._texts))

    def get(self, name: str) -> Pack:
        """The pack of that name. Raises PolicyError with all its faults, KeyError when there is none."""
        if name not in self._packs:
            self._packs[name] = load_pack(self._texts[name], name)
        return self._packs[name]


def load_pack(text: str, name: str) -> Pack:
    """Read and check one pack. Raises PolicyError with every fault."""
    title = f"the pack {name} is wrong"
    raw: dict[str, Any] = reading.read(text, title)
    try:
        document = PackDoc.model_validate(raw)
    except ValidationError as error:
        raise PolicyError(title, faults(error, PackDoc, raw)) from None
    found = [
        *checks.document_faults(document, raw),
        *checks.filter_faults(document, document.purposes),
        *checks.pack_faults(document),
    ]
    if document.pack != name:
        found.append(Fault("pack", f"must be {name}, the name of its file"))
    if found:
        raise PolicyError(title, tuple(found))
    source = compile_source(document, name, document.jurisdiction, document.valid_from, document.valid_to)
    return Pack(name, document, source, digest(canonical(document)))


@lru_cache(maxsize=1)
def shipped() -> PackLibrary:
    """The packs that ship with contactgate."""
    folder = resources.files("contactgate.policy") / "packs"
    return PackLibrary(
        {
            entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
            for entry in folder.iterdir()
            if entry.name.endswith(".yaml")
        }
    )
