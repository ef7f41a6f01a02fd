"""The text of a policy has one reading or none."""

from __future__ import annotations

import pytest

from contactgate.errors import PolicyError
from contactgate.policy.reading import read


def faults_of(text: str | bytes) -> str:
    with pytest.raises(PolicyError) as caught:
        read(text, "wrong")
    return "\n".join(str(fault) for fault in caught.value.faults)


def test_words_that_older_yaml_reads_as_booleans_stay_words() -> None:
    """Norway's code `no` and a channel called `on` are texts, not booleans."""
    assert read("a: [no, on, yes, off, y]", "t") == {"a": ["no", "on", "yes", "off", "y"]}


def test_times_and_dates_stay_text() -> None:
    """`09:00` is not the number 540, and a date is not an object of the reader's choice."""
    assert read("from: 09:00\nto: 21:00:00\nday: 2026-08-11", "t") == {
        "from": "09:00",
        "to": "21:00:00",
        "day": "2026-08-11",
    }


def test_a_number_with_a_leading_nought_is_not_a_number() -> None:
    """`010` is eight to one reader and ten to another, so it is a text here and refused where a number is needed."""
    assert read("limit: 010", "t") == {"limit": "010"}


def test_json_is_read_as_it_stands() -> None:
    """A policy may be JSON, with tabs as JSON allows them."""
    assert read('\n{"a":\t[1, true, null, 1.5]}', "t") == {"a": [1, True, None, 1.5]}


def test_flow_style_yaml_is_not_json_and_still_read() -> None:
    """A text that begins with a brace but is not JSON is read as YAML."""
    assert read("{a: b, c: [d]}", "t") == {"a": "b", "c": ["d"]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key `a` stands here and in line 1"),
        ('"a": 1\na: 3', "the key `a` stands here"),
        ('{"a": 1, "a": 2}', "the key `a` stands twice"),
        ('{"x": {"a": 1, "a": 2}}', "the key `a` stands twice"),
        ("a: &x {b: 1}\nc: *x", "anchors and aliases"),
        ("base: {a: 1}\n<<: {b: 1}", "merge keys"),
        ("a: !!python/object/apply:os.system [x]", "tags are not supported"),
        ("a: 1\n---\nb: 1", "line 2"),
        ("[1, 2]", "must be a mapping"),
        ("", "must be a mapping"),
        ("- a", "must be a mapping"),
        ("? [a]\n: b", "a key must be plain text"),
        ("a: [1", "line 1: not readable as YAML"),
        ("a: \x01", "characters that YAML does not allow"),
        ('{"a": NaN}', "NaN is not a number"),
        (b"\xff\xfe{}", "not UTF-8"),
        ("[" * 100, "nested"),
        ('{"a":' * 100_000, "nested"),
        ("a: " + "x" * (1 << 20), "longer than"),
    ],
)
def test_what_has_two_readings_is_refused_with_its_place(text: str | bytes, says: str) -> None:
    """Duplicate keys, anchors, merges, tags, several documents, depth and size end in a fault, never in a guess."""
    assert says in faults_of(text)
