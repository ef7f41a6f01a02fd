"""The messages that the docs show are those of schemas/: types, fields, choices, nothing required left out.

A page writes `…` for what does not matter: as a value, as the content of a list or object, or between commas for fields
that are left out. A value `a|b|c` lists every choice that a field has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from contactgate.model.facts import Outcome

ROOT = Path(__file__).parents[3]
SCHEMAS = {
    file.stem: json.loads(file.read_text("utf-8")) for file in sorted((ROOT / "schemas/messages").glob("*.json"))
}
OPEN = {("dead.letter", "original")}  # whatever was sent
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|…|\s+|.')
BLOCK = re.compile(r"^```jsonc\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if BLOCK.search(page.read_text("utf-8"))]
WHOLE = ("messages.md", "semantics.md")  # pages that together show every message


def messages(text: str) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each message of a page, and whether it is shown whole."""
    for block in BLOCK.findall(text):
        tokens = [token for token in TOKEN.findall(block) if not token.startswith("//") and token.strip()]
        rest = "".join(tokens)
        while rest:
            end = _end(rest)
            one, rest = rest[:end], rest[end:]
            whole = ",…" not in one
            yield json.loads(one.replace(",…", "").replace("…]", "]").replace("{…}", "{}").replace("[…", "[")), whole


def _end(text: str) -> int:
    """Where the first object of a text ends."""
    depth = 0
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[{}]', text):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    raise ValueError("an object without an end")


def faults(message: dict[str, Any], whole: bool) -> list[str]:
    """What differs between a message as shown and its schema."""
    schema = SCHEMAS.get(message["type"])
    if schema is None:
        return [f"there is no message {message['type']}"]
    return [f"{message['type']}: {said}" for said in _object(message, schema, schema.get("$defs", {}), whole)]


def _object(shown: dict[str, Any], schema: dict[str, Any], defs: dict[str, Any], whole: bool) -> Iterator[str]:
    missing = set(schema.get("required", ())) - set(shown) if whole and shown else set()
    missing -= {"address"} if "address_token" in shown else set()
    yield from (f"`{name}` is needed" for name in sorted(missing))
    for name, value in shown.items():
        if name not in schema["properties"]:
            yield f"it has no `{name}`"
        elif (
            schema["properties"]["type"].get("enum", [""])[0] if "type" in schema["properties"] else "",
            name,
        ) not in OPEN:
            yield from _value(name, value, schema["properties"][name], defs)


def _value(name: str, value: Any, schema: dict[str, Any], defs: dict[str, Any]) -> Iterator[str]:
    kinds = [_resolved(kind, defs) for kind in schema.get("anyOf", [schema])]
    choices = [set(kind["enum"]) for kind in kinds if "enum" in kind]
    if isinstance(value, dict):
        for kind in kinds:
            if "properties" in kind:
                yield from _object(value, kind, defs, whole=True)
    elif isinstance(value, list):
        for kind in kinds:
            for each in value if "items" in kind else ():
                yield from _value(name, each, kind["items"], defs)
    elif choices and isinstance(value, str) and value != "…":
        given = set(value.split("|"))
        if given != choices[0] if "|" in value else not given <= choices[0]:
            yield f"`{name}` is shown as {sorted(given)}, it can be {sorted(choices[0])}"


def _resolved(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    return defs[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_message_shown_is_one_of_the_schemas(page: Path) -> None:
    """A field that was renamed, a new choice and a new required field change the pages with them."""
    shown = list(messages(page.read_text(encoding="utf-8")))
    assert shown
    assert [said for message, whole in shown for said in faults(message, whole)] == []


def test_every_message_is_shown() -> None:
    """No type of message is only in schemas/."""
    text = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in (*WHOLE, "dead-letters.md"))
    assert set(SCHEMAS) - {message["type"] for message, _ in messages(text)} == set()


def test_outcomes_are_listed_from_the_least_to_the_most_restricting() -> None:
    """Rule 32 and the messages shown give every outcome, in the order that decides between contradicting ones."""
    order = get_args(Outcome)
    pages = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in WHOLE}
    (rule,) = re.findall(r"^32\. .*?`(.*?)`", pages["semantics.md"], re.MULTILINE | re.DOTALL)
    assert tuple(rule.split()) == order
    for text in pages.values():
        assert f'"outcome":"{"|".join(order)}"' in text


@pytest.mark.parametrize(
    "shown",
    [
        '{"type":"contact.outcom","event_id":"…"}',
        '{"type":"subject.erased","event_id":"…","subject_id":"…"}',
        '{"type":"subject.erased","event_id":"…","subject_id":"…","time":"…","when":"…"}',
        '{"type":"pause.set","event_id":"…","time":"…","pause_id":"p","scope":{"requester":[…]}}',
        '{"type":"contact.outcome",…,"outcom":"answered"}',
        '{"type":"party.updated",…,"agreements":[{"controler":"bank"}]}',
    ],
)
def test_a_message_that_is_wrong_is_seen(shown: str) -> None:
    """The test of this test: wrong types, fields, choices, and what is missing, at any depth."""
    ((message, whole),) = messages(f"```jsonc\n{shown}  // a comment\n```\n")
    assert faults(message, whole)
