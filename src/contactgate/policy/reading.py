"""Text of a policy or pack -> plain data, in one reading only.

The subset is that of YAML 1.2's core schema: only `true` and `false` are booleans (so `no` is the text "no", not
false), `09:00` is a text and never a sexagesimal number, dates are texts. What two readers could understand differently
is refused with its line: duplicate keys, anchors, aliases, merge keys, tags, several documents, texts over a mebibyte.
JSON is accepted as it stands. Must never build anything but dict, list, str, int, float, bool and None.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import yaml

from contactgate.errors import Fault, PolicyError

MAX_BYTES = 1 << 20
MAX_DEPTH = 24


class _Refused(Exception):
    def __init__(self, place: str, message: str) -> None:
        self.fault = Fault(place, message)
        super().__init__(message)


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's core schema and none of what could be read in two ways."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own shape
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _Refused(_line(event), "anchors and aliases are not supported: write the value out")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag not in (None, "!"):
            raise _Refused(_line(event), "tags are not supported: write the plain value")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Refused(_line(event), f"nested more than {MAX_DEPTH} deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: ARG002
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused(_line(key), "a key must be plain text")
            if key.value == "<<":
                raise _Refused(_line(key), "merge keys are not supported: write the value out")
            if key.value in seen:
                raise _Refused(_line(key), f"the key `{key.value}` stands here and in line {seen[key.value]}: keep one")
            seen[key.value] = key.start_mark.line + 1
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]{0,17})$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+)$", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(_pattern),
        list(_first.replace("\0", "")) + ([""] if "\0" in _first else []),
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def _line(at: Any) -> str:
    return f"line {at.start_mark.line + 1}"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Refused("", f"the key `{key}` stands twice in one object: keep one")
        found[key] = value
    return found


def _no_constant(word: str) -> NoReturn:
    raise _Refused("", f"{word} is not a number here")


def read(source: str | bytes, title: str) -> dict[str, Any]:
    """The document as plain data. Raises PolicyError with `title` when it is not exactly one readable mapping."""
    try:
        return _read(source)
    except _Refused as refused:
        raise PolicyError(title, (refused.fault,)) from None


def _read(source: str | bytes) -> dict[str, Any]:
    if isinstance(source, bytes):
        try:
            source = source.decode("utf-8")
        except UnicodeDecodeError:
            raise _Refused("", "the text is not UTF-8: save it as UTF-8") from None
    if len(source) > MAX_BYTES:
        raise _Refused("", f"the text is longer than {MAX_BYTES:,} bytes")
    source = source.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    data = _json(source) if source.lstrip().startswith("{") else None
    if data is None:
        data = _yaml(source)
    if not isinstance(data, dict):
        raise _Refused("", "the document must be a mapping of keys to values, and is empty or something else")
    return data


def _json(source: str) -> Any:
    """JSON as it stands; None when it is not JSON (it may be YAML in flow style)."""
    try:
        return json.loads(source, object_pairs_hook=_pairs, parse_constant=_no_constant)
    except RecursionError:
        raise _Refused("", "nested too deep") from None
    except ValueError:
        return None


def _yaml(source: str) -> Any:
    try:
        loader = _Loader(source)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "not YAML"
        raise _Refused(f"line {mark.line + 1}" if mark else "", f"not readable as YAML: {problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise _Refused(
            "", "not readable as YAML: it holds characters that YAML does not allow, or is nested too deep"
        ) from None
    except ValueError:
        raise _Refused("", "not readable as YAML: a number is out of range") from None
