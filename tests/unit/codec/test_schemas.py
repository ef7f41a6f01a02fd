"""`schemas/` is what the models say, and what we read and write fits it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tools import schemas

from contactgate.codec.strict import REASONS
from contactgate.codec.tokens import Tokens
from contactgate.offline import Fold
from contactgate.policy.load import load_policy

CASES = Path(__file__).parents[2] / "cases" / "cases.jsonl"


def validator(name: str) -> jsonschema.Draft202012Validator:
    """The published schema of one message."""
    return jsonschema.Draft202012Validator(json.loads((schemas.TARGET / name).read_text(encoding="utf-8")))


def test_the_files_are_what_the_models_say() -> None:
    """Nobody edited a generated file, and no model changed without its schema."""
    assert schemas.differing(schemas.TARGET) == []


@pytest.mark.parametrize("name", sorted(schemas.schemas()))
def test_every_schema_is_a_schema(name: str) -> None:
    """Each file is a valid JSON Schema of the dialect it names."""
    jsonschema.Draft202012Validator.check_schema(schemas.schemas()[name])


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    """Channels, operations and messages refer to what exists."""
    document = schemas.asyncapi()

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [v if k == "$ref" else "" for k, v in value.items()] + [
                r for v in value.values() for r in references(v)
            ]
        return [r for item in value for r in references(item)] if isinstance(value, list) else []

    for reference in filter(None, references(document)):
        if reference.startswith("#/"):
            at: Any = document
            for step in reference[2:].split("/"):
                at = at[step]
        else:
            assert (schemas.TARGET / reference).is_file()


def test_the_cases_and_what_comes_of_them_fit_the_schemas() -> None:
    """Inputs that are accepted and all that is answered to them are valid by the published schemas."""
    known: dict[str, jsonschema.Draft202012Validator] = {}
    seen: set[str] = set()
    for line in CASES.read_text(encoding="utf-8").splitlines()[::4]:
        case = json.loads(line)
        state = Fold(load_policy(case["policy"]), Tokens(b"k" * 32))
        for event in case["events"]:
            made = [json.loads(out) for out in state.line(json.dumps(event).encode())]
            messages = made if any(m["type"] == "dead.letter" for m in made) else [event, *made]
            for message in messages:
                name = message["type"]
                check = known.setdefault(name, validator(f"messages/{name}.json"))
                check.validate(message)
                seen.add(name)
    assert {"contact.requested", "contact.decided", "contact.approved", "subject.updated"} <= seen


def test_what_the_gate_refuses_for_its_shape_the_schema_refuses() -> None:
    """A missing field, a wrong kind and an unknown word are invalid in the schema as well."""
    good = {
        "type": "contact.outcome",
        "event_id": "e",
        "request_id": "r",
        "subject_id": "s",
        "time": "2026-01-01T00:00:00Z",
        "outcome": "answered",
    }
    check = validator("messages/contact.outcome.json")
    check.validate(good)
    for bad in (
        {**good, "outcome": ""},
        {**good, "subject_id": 7},
        {k: v for k, v in good.items() if k != "time"},
    ):
        assert not check.is_valid(bad)


def test_every_reason_of_a_dead_letter_is_documented() -> None:
    """docs/dead-letters.md lists exactly the reasons there are, in the words of the code."""
    text = (schemas.TARGET.parent / "docs" / "dead-letters.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| `")]
    assert table == [f"| `{reason}` | {words} |" for reason, words in REASONS.items()]
