"""Write `schemas/`: JSON Schemas of every message and document, and the AsyncAPI 3.0 document, all from the models.

    python tools/schemas.py            write them
    python tools/schemas.py --check    exit 1 and name the files that differ

The models are the one definition; a test fails when a file here was edited or forgotten. Never edit the files by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
from pydantic import BaseModel

from contactgate.codec.strict import REASONS
from contactgate.model import messages
from contactgate.model.control import CONTROL
from contactgate.policy.document import PackDoc, PolicyDoc
from contactgate.settings import Settings

TARGET: Final = Path(__file__).parents[1] / "schemas"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

WIRE: Final[dict[str, tuple[type[msgspec.Struct], ...]]] = {
    "consent-events": get_args(messages.ConsentMessage),
    "contact-requests": (messages.ContactRequested,),
    "contact-outcomes": (messages.OutcomeMessage,),
    "address-suppressions": get_args(messages.SuppressionMessage),
    "contact-decisions": (messages.ContactDecided,),
    "approvals": (
        messages.ContactApproved,
        messages.ContactRefused,
        messages.ContactRecalled,
        messages.PermissionWithdrawn,
    ),
    "dead-letters": (messages.DeadLetter,),
}
"""Which structs travel on which topic."""

CHANNELS: Final[dict[str, tuple[str, str, str]]] = {
    "consent-events": ("receive", "subject_id", "What people allow and forbid, and who they are."),
    "contact-requests": ("receive", "subject_id", "May this person be contacted now?"),
    "contact-outcomes": ("receive", "subject_id", "What became of approved contacts, and contacts not decided here."),
    "control-events": ("receive", "kind:id", "Notices, parties, campaigns, policies, registries, pauses. Compacted."),
    "address-suppressions": ("receive", "address token", "Addresses that nobody may contact. Compacted."),
    "contact-decisions": ("send", "subject_id", "One decision a request, in a hash chain per partition."),
    "approvals": ("send", "subject token", "What one requester may use, and must not use any more."),
    "dead-letters": ("send", "the original key", "Messages that could not be processed, sealed."),
}
"""Topic: what contactgate does with it, its key, and what it is for."""


def wire_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of one struct, with everything it refers to."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    own = components.pop(kind.__name__)
    assert schema == {"$ref": f"#/$defs/{kind.__name__}"}
    return {**own, **({"$defs": components} if components else {})}


def document_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of one document that people write."""
    return kind.model_json_schema(mode="validation")


def message_name(kind: type[msgspec.Struct]) -> str:
    """`consent.granted`."""
    return str(kind.__struct_config__.tag)


def decided() -> dict[str, Any]:
    """The decision as published: its hash is appended after the rest is encoded."""
    schema = wire_schema(messages.ContactDecided)
    schema["properties"]["hash"] = {"type": "string", "description": "SHA-256 of the bytes before it, closed with `}`"}
    schema["required"].append("hash")
    return schema


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema."""
    found: dict[str, dict[str, Any]] = {}
    for kinds in WIRE.values():
        for kind in kinds:
            found[f"messages/{message_name(kind)}.json"] = (
                decided() if kind is messages.ContactDecided else wire_schema(kind)
            )
    for name, model in CONTROL.items():
        found[f"messages/{name}.json"] = document_schema(model)
    found["documents/policy.json"] = document_schema(PolicyDoc)
    found["documents/pack.json"] = document_schema(PackDoc)
    found["documents/settings.json"] = document_schema(Settings)
    return {name: {"$schema": DIALECT, **schema} for name, schema in found.items()}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: every topic, its key and its messages."""
    on_topic = {topic: [message_name(kind) for kind in kinds] for topic, kinds in WIRE.items()}
    on_topic["control-events"] = list(CONTROL)
    headers = {
        "type": "object",
        "properties": {
            name: {"type": "string"} for name in ("ce_id", "ce_type", "ce_source", "ce_time", "ce_specversion")
        },
    }
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    everything: dict[str, Any] = {}
    for topic, (action, key, words) in CHANNELS.items():
        names = on_topic[topic]
        for name in names:
            everything[name] = {
                "name": name,
                "contentType": "application/json",
                "payload": {"$ref": f"messages/{name}.json"},
                "bindings": {"kafka": {"key": {"type": "string", "description": key}}},
                **({"headers": headers} if action == "send" else {}),
            }
        channels[topic] = {
            "address": "approvals.{requester}" if topic == "approvals" else topic,
            "description": words,
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            **(
                {"parameters": {"requester": {"description": "party_id of the vendor"}}} if topic == "approvals" else {}
            ),
        }
        operations[f"{action}-{topic}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{topic}"},
            "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in names],
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "contactgate",
            "version": "1",
            "description": "Decides, live and provably, whether a person may be contacted. Topics may carry a prefix.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": everything},
    }


def files() -> dict[str, str]:
    """Every generated file and its text."""
    found = {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas().items()}
    found["asyncapi.json"] = json.dumps(asyncapi(), indent=2, ensure_ascii=False) + "\n"
    found["dead-letter-reasons.json"] = json.dumps(REASONS, indent=2) + "\n"
    return found


def differing(target: Path) -> list[str]:
    """Names of files that are missing, stale or should not be there."""
    wanted = files()
    there = {str(p.relative_to(target)) for p in target.rglob("*.json") if "golden" not in p.parts}
    return sorted(
        name
        for name in there | wanted.keys()
        if name not in wanted or name not in there or (target / name).read_text(encoding="utf-8") != wanted[name]
    )


def main() -> int:
    """Write or check."""
    wrong = differing(TARGET)
    if "--check" in sys.argv[1:]:
        for name in wrong:
            print(f"schemas/{name} differs from the models; run python tools/schemas.py")
        return int(bool(wrong))
    wanted = files()
    for name in wrong:
        path = TARGET / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
    print(f"{len(wrong)} of {len(wanted)} files written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
