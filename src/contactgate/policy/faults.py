"""pydantic's errors -> faults in our words, each with the place as the author wrote it (`caps[2].window.sliding`).

Must never show a value of the document beyond the word that is wrong, and never a class name or a pydantic type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from contactgate.errors import Fault
from contactgate.policy.words import nearest

_WORDS = {
    "missing": "this key is required",
    "string_type": "write text here",
    "int_type": "write a whole number here",
    "bool_type": "write true or false",
    "list_type": "write a list here, such as [a, b]",
    "dict_type": "write a mapping of keys to values here",
    "model_type": "write a mapping of keys to values here",
    "greater_than_equal": "the number is too small: at least {ge}",
    "less_than_equal": "the number is too large: at most {le}",
    "string_too_long": "the text is too long: at most {max_length} characters",
}


def faults(error: ValidationError, model: type[BaseModel], raw: object) -> tuple[Fault, ...]:
    """Every fault of a failed validation of `raw` as `model`, in the document's order."""
    found = [Fault(place(item["loc"], raw), _message(item, model)) for item in error.errors(include_url=False)]
    return tuple(dict.fromkeys(found))


def place(loc: Sequence[int | str], raw: object) -> str:
    """`("caps", 2, "window")` -> `caps[2].window`, leaving out steps that only our models know."""
    text = ""
    at: Any = raw
    for position, step in enumerate(loc):
        last = position == len(loc) - 1
        if isinstance(step, int):
            if not isinstance(at, list):
                continue
            text += f"[{step}]"
            at = at[step] if step < len(at) else None
        elif step == "[key]":
            continue
        else:
            known = isinstance(at, dict) and step in at
            if not known and not (last and isinstance(at, dict | None)):
                continue
            text += f".{step}" if text else step
            at = at[step] if isinstance(at, dict) and known else None
    return text


def _message(item: Any, model: type[BaseModel]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        word = str(item["loc"][-1])
        return f"unknown key{nearest(word, _keys(model, item['loc'][:-1])) or ': remove it'}"
    if kind == "literal_error":
        allowed = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
        given = item["input"]
        hint = nearest(given, allowed.split(", ")) if isinstance(given, str) else ""
        return f"must be one of {allowed}{hint}"
    if kind == "value_error":
        return str(context.get("error", item["msg"]))
    return _WORDS.get(kind, str(item["msg"]).lower()).format(**context)


def _keys(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The keys that the part of the document at `loc` may have."""
    at: Any = model
    for step in loc:
        found = _part(at)
        if isinstance(found, type) and issubclass(found, BaseModel):
            named = {field.alias or name: field for name, field in found.model_fields.items()}
            if step not in named:
                return []
            at = named[str(step)].annotation
        elif get_origin(found) is dict:
            at = get_args(found)[1]
        elif get_origin(found) is list:
            at = get_args(found)[0]
        else:
            return []
    last = _part(at)
    if not (isinstance(last, type) and issubclass(last, BaseModel)):
        return []
    return [field.alias or name for name, field in last.model_fields.items()]


def _part(annotation: Any) -> Any:
    """What stands inside Annotated and Optional."""
    while get_args(annotation) and get_origin(annotation) not in (dict, list):
        annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation
