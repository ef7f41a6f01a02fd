"""Rows 1-30: bytes and JSON. Every opt-out among them binds although it cannot be read whole."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

from tests.hostile.shots import (
    Row,
    ask,
    asked,
    consent,
    control,
    grant,
    opt_out,
    raw,
    suppress,
    suppression,
    tell,
    with_field,
    withdrawal,
)  # fmt: skip
from tests.kit.gatekit import POLICY

OPT_OUT = raw(withdrawal()) or b""
ASKED = raw(asked()) or b""


def _notice(version: bytes) -> bytes:
    text = raw(control("notice.published", notice_id="n", version="@", controller="bank", purposes=["marketing"]))
    return (text or b"").replace(b'"@"', version)


def _policy(**changed: Any) -> dict[str, Any]:
    return control("policy.activated", document={**POLICY, **changed})


def _cap(limit: Any) -> dict[str, Any]:
    cap = {"name": "c", "limit": limit, "window": {"sliding": "1d"}, "scope": ["subject"], "counts": "approved"}
    return _policy(caps=[cap])


ACTIVE = b"policy:active"
FIELDS: dict[str, Any] = {"event_id": 7, "subject_id": [], "time": 0, "type": True}
"""Every field that an opt-out must have, and a value of a wrong type."""

ROWS = [
    Row(1, "empty value", "Dead letter.", (
        grant("consent", b"", "json.malformed"),
        ask("request", b"", "json.malformed"),
        tell("control", b"", "json.malformed", key=b"pause:p"),
        suppress("suppression", b"", "json.malformed", "pass"),
    )),
    Row(2, "null value (tombstone)", "Dead letter on every topic; nothing is removed by key.", (
        grant("consent", None, "value.missing"),
        ask("request", None, "value.missing"),
        tell("control", None, "value.missing", key=b"pause:p"),
        suppress("suppression", None, "value.missing", "pass"),
    )),
    Row(3, "null key; empty key; key that is not the subject",
        "Dead letter; an opt-out binds both subjects, of its key and of its `subject_id`.", (
        opt_out("opt-out without key", withdrawal(), "key.missing", key=None),
        opt_out("opt-out, empty key", withdrawal(), "key.missing", key=b""),
        opt_out("opt-out, key of another", withdrawal(), "key.mismatch", key=b"x-9"),
        opt_out("opt-out of another under this key", withdrawal(subject_id="x-9"), "key.mismatch"),
        ask("request without key", asked(), "key.missing", key=None),
        ask("request, key of another", asked(), "key.mismatch", key=b"x-9"),
        ask("request, key that is no text", asked(), "key.mismatch", key=b"\xff"),
    )),
    Row(4, "one byte `{`", "Dead letter.", (grant("consent", b"{", "json.malformed"), ask("ask", b"{", "json.malformed"))),
    Row(5, "64 KiB of 0xFF", "Dead letter.", (grant("consent", b"\xff" * 65_536, "json.not_utf8"),)),
    Row(6, "invalid UTF-8", "Dead letter; an opt-out binds.", (
        grant("alone", b'{"a":"\xff\xfe"}', "json.not_utf8"),
        opt_out("in an opt-out", with_field(withdrawal(), b'"a":"\xff\xfe"'), "json.not_utf8"),
    )),
    Row(7, "overlong UTF-8", "Dead letter; an opt-out binds.", (
        opt_out("slash", with_field(withdrawal(), b'"a":"\xc0\xaf"'), "json.not_utf8"),
        ask("in a request", with_field(asked(), b'"a":"\xc0\xaf"'), "json.not_utf8"),
    )),
    Row(8, "byte order mark", "Refused (RFC 8259, 8.1): dead letter; an opt-out binds.", (
        grant("and nothing", b"\xef\xbb\xbf{}", "json.not_utf8"),
        opt_out("before an opt-out", b"\xef\xbb\xbf" + OPT_OUT, "json.not_utf8"),
    )),
    Row(9, "UTF-16 and UTF-32", "Refused: dead letter; an opt-out binds.", tuple(
        opt_out(f"opt-out in {name}", OPT_OUT.decode().encode(name), fate)
        for name, fate in (("utf-16", "json.not_utf8"), ("utf-16-le", "json.malformed"), ("utf-16-be", "json.malformed"),
                           ("utf-32", "json.not_utf8"), ("utf-32-le", "json.malformed"))
    ) + (ask("request in utf-16", ASKED.decode().encode("utf-16"), "json.not_utf8"),)),
    Row(10, "two documents in one record", "Dead letter; an opt-out among them binds.", (
        opt_out("opt-out, opt-in", OPT_OUT + (raw(consent()) or b""), "json.malformed"),
        opt_out("opt-in, opt-out", (raw(consent()) or b"") + OPT_OUT, "json.malformed"),
        ask("twice the same request", ASKED + ASKED, "json.malformed"),
    )),
    Row(11, "trailing comma, comment, single quotes", "Dead letter; an opt-out binds.", (
        opt_out("trailing comma", OPT_OUT[:-1] + b",}", "json.malformed"),
        opt_out("comment", OPT_OUT + b" // by phone", "json.malformed"),
        opt_out("single quotes", OPT_OUT.replace(b'"', b"'"), "json.malformed"),
        opt_out("single quotes, other key", OPT_OUT.replace(b'"', b"'"), "json.malformed", key=b"x-9"),
        ask("a request in single quotes", ASKED.replace(b'"', b"'"), "json.malformed"),
    )),
    Row(12, "duplicate keys", "Refused; every reading that restricts binds, none that permits.", (
        opt_out("opt-out, then opt-in", with_field(withdrawal(), b'"type":"consent.granted"'), "json.duplicate_key"),
        opt_out("opt-in, then opt-out", with_field(consent(), b'"type":"consent.withdrawn"'), "json.duplicate_key"),
        ask("two purposes", with_field(asked(), b'"purpose":"service"'), "json.duplicate_key"),
    )),
    Row(13, "duplicate keys that differ by an escape", "Refused; every reading that restricts binds.", (
        opt_out("type", with_field(withdrawal(), b'"\\u0074ype":"consent.granted"'), "json.duplicate_key"),
        opt_out("type, last", with_field(consent(), b'"\\u0074ype":"consent.withdrawn"'), "json.duplicate_key"),
    )),
    Row(14, "NaN, Infinity, -Infinity", "Refused; an opt-out binds.", tuple(
        opt_out(word.decode(), with_field(withdrawal(), b'"score":' + word), "json.number")
        for word in (b"NaN", b"Infinity", b"-Infinity")
    )),
    Row(15, "`1e400`, which many readers take for infinity", "Refused; an opt-out binds.", (
        opt_out("in an opt-out", with_field(withdrawal(), b'"score":1e400'), "json.number"),
        ask("in a request", with_field(asked(), b'"score":-1e400'), "json.number"),
    )),
    Row(16, "integers of thousands of digits", "Refused from 401 digits on; an opt-out binds.", tuple(
        opt_out(f"{digits} digits", with_field(withdrawal(), b'"score":' + b"9" * digits), "json.number")
        for digits in (4_301, 4_300, 401)
    ) + (opt_out("400 digits", with_field(withdrawal(), b'"score":' + b"9" * 400), "applied"),)),
    Row(17, "`-0`, `1.0`, `9007199254740993.0` for an integer", "`-0` is 0; the others are refused.", (
        tell("-0", _notice(b"-0"), "applied", key=b"notice:n"),
        *(tell(version.decode(), _notice(version), "field.invalid", key=b"notice:n")
          for version in (b"1.0", b"9007199254740993.0")),
    )),
    Row(18, "`true` for a number", "Refused: a truth value is no limit.", (
        tell("cap of true", _cap(True), "policy.invalid", key=ACTIVE),
        tell("version true", _notice(b"true"), "field.invalid", key=b"notice:n"),
    )),
    Row(19, "numbers as text, in any digits", "Refused: text is no number.", tuple(
        tell(f"{text!r} as {what}", message, fate, key=key)
        for text in ("3", "٣", " 12\n", "1_000")
        for what, message, fate, key in (("a limit", _cap(text), "policy.invalid", ACTIVE),
                                   ("a version", _notice(json.dumps(text).encode()), "field.invalid", b"notice:n"))
    )),
    Row(20, "nested arrays", "Refused beyond 32 levels; an opt-out binds.", (
        grant("100,000 of them", b"[" * 100_000, "message.too_large"),
        grant("60,000 of them", b"[" * 60_000, "json.too_deep"),
        opt_out("900 in an opt-out", with_field(withdrawal(), b'"x":' + b"[" * 900 + b"]" * 900), "json.too_deep"),
        grant("33 and a string of escaped quotes that does not end",
              b'{"type":"x","a":' + b"[" * 33 + b'"' + b'\\"' * 30_000, "json.too_deep"),
        ask("33 in a request", with_field(asked(), b'"x":' + b"[" * 33 + b"]" * 33), "json.too_deep"),
    )),
    Row(21, "nested objects", "Refused beyond 32 levels; an opt-out binds.", (
        grant("100,000 of them", b'{"a":' * 100_000, "message.too_large"),
        opt_out("5,000 in an opt-out", with_field(withdrawal(), b'"x":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000), "json.too_deep"),
    )),
    Row(22, "a million keys", "Refused by size, before anything is read; an opt-out binds.", (
        opt_out("in an opt-out", with_field(withdrawal(), b",".join(b'"k%d":0' % n for n in range(1_000_000))), "message.too_large"),
        opt_out("as many as fit", with_field(withdrawal(), b",".join(b'"k%d":0' % n for n in range(5_000))), "applied"),
    )),
    Row(23, "a string of 10 MB", "Kafka refuses it (1 MiB a record); a gate that got it would refuse it by size.", (
        opt_out("in an opt-out", with_field(withdrawal(), b'"said":"' + b"x" * 10_000_000 + b'"'), "message.too_large"),
    ), ("tests/broker/test_hostile_records.py::test_records_too_large_for_the_topic_are_refused_by_kafka",)),
    Row(24, "half of a surrogate pair", "Refused before it can break a producer; an opt-out binds.", (
        opt_out("in a field nobody reads", with_field(withdrawal(), b'"said":"\\ud800"'), "json.surrogate"),
        opt_out("in the event id", withdrawal(event_id="\ud800"), "json.surrogate"),
        ask("in the request id", asked(request_id="\udfff"), "json.surrogate"),
        ask("in an optional id", asked(matter_id="a\ud83d"), "json.surrogate"),
    )),
    Row(25, "zero characters", "Refused; an opt-out binds.", (
        opt_out("escaped, in the subject", withdrawal(subject_id="s-1\0"), "identifier.invalid"),
        opt_out("escaped, in the event id", withdrawal(event_id="e\0"), "identifier.invalid"),
        opt_out("raw", OPT_OUT.replace(b"e-1", b"e\x001"), "json.malformed"),
        ask("in the subject and the key", asked(subject_id="s-1\0"), "identifier.invalid", key=b"s-1\0"),
    )),
    Row(26, "keys that mean something elsewhere: `__proto__`, `__class__`, `__faust`", "Ignored like every unknown field.", (
        opt_out("prototype", with_field(withdrawal(), b'"__proto__":{"type":"consent.granted"}'), "applied"),
        opt_out("faust", with_field(withdrawal(), b'"__faust":{"ns":"consent.granted"},"__class__":"x"'), "applied"),
        ask("in a request", with_field(asked(), b'"__proto__":{"verdict":"pass"}'), "decided pass", "pass"),
    )),
    Row(27, "other formats", "Dead letter; an opt-out binds whose words stand in the bytes.", (
        opt_out("pickle", pickle.dumps(withdrawal()), "json.not_utf8"),
        grant("pickle in base64", base64.b64encode(pickle.dumps(withdrawal())), "json.malformed"),
        opt_out("YAML", b"type: consent.withdrawn\nsubject_id: s-1\n", "json.malformed", key=b"x-9"),
        grant("XML with an entity bomb", b'<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><l>&b;</l>', "json.malformed"),
        opt_out("Avro", b"\0\0\0\0\x01\x22consent.withdrawn\x06s-1", "json.malformed"),
        opt_out("protobuf", b"\x0a\x11consent.withdrawn\x12\x03s-1", "json.malformed"),
        opt_out("MessagePack", b"\x82\xa4type\xb1consent.withdrawn\xaasubject_id\xa3s-1", "json.not_utf8"),
        opt_out("JSON in a JSON string", json.dumps(OPT_OUT.decode()).encode(), "json.not_an_object", key=b"x-9"),
        opt_out("JSON in a list", b"[" + OPT_OUT + b"]", "json.not_an_object", key=b"x-9"),
        suppress("a suppression in single quotes", (raw(suppression()) or b"").replace(b'"', b"'"), "json.malformed", key=b"?"),
    )),
    Row(28, "unknown, missing, null and mistyped fields", "Unknown ones are ignored, the others refused; an opt-out binds.", (
        opt_out("unknown", with_field(withdrawal(), b'"colour":"red"'), "applied"),
        *(opt_out(f"no {name}", {k: v for k, v in withdrawal().items() if k != name},
                  "type.missing" if name == "type" else "field.missing", "pass" if name == "type" else "block")
          for name in FIELDS),
        *(opt_out(f"null {name}", withdrawal(**{name: None}),
                  "type.missing" if name == "type" else "field.missing", "pass" if name == "type" else "block")
          for name in FIELDS),
        *(opt_out(f"{name} of a wrong type", withdrawal(**{name: wrong}), "type.missing" if name == "type" else "field.invalid",
                  "pass" if name == "type" else "block")
          for name, wrong in FIELDS.items()),
        grant("all null", dict.fromkeys(consent()), "type.missing"),
        *(ask(f"request with {wrong!r} as {name}", asked(**{name: wrong}), "field.invalid")
          for name in ("request_id", "requester", "controller", "purpose", "channel") for wrong in (7, [], {})),
    )),
    Row(29, "unknown version", "Messages have no version: the field is ignored. A notice's version is refused, a state's rebuilt.", (
        opt_out("99", withdrawal(version=99), "applied"),
        opt_out("-1", withdrawal(schema_version=-1), "applied"),
        opt_out("2^63", withdrawal(version=2**63), "applied"),
        tell("a notice of version -1", _notice(b"-1"), "field.invalid", key=b"notice:n"),
        tell("a notice of version 2^63", _notice(b"9223372036854775808"), "field.invalid", key=b"notice:n"),
    ), ("tests/property/test_fuzz_targets.py::test_old_findings_and_mutations_end_as_declared[state]",)),
    Row(30, "unknown type, other case, trailing space, another name", "Refused; an opt-out that is one in another spelling is one.", (
        grant("unknown", {**consent(), "type": "consent.guessed"}, "type.unknown_subject"),
        opt_out("capitals", withdrawal(type="Consent.Withdrawn"), "applied"),
        opt_out("trailing space", withdrawal(type="consent.withdrawn "), "applied"),
        opt_out("another name", withdrawal(type="consent.revoked"), "applied"),
        opt_out("another name, damaged", withdrawal(type="opt-out", time="soon"), "time.invalid"),
        grant("an opt-in in capitals", {**consent(), "type": "CONSENT.GRANTED"}, "type.unknown_subject"),
        opt_out("an opt-out among the requests", withdrawal(), "type.wrong_topic")._replace(kind="request"),
        opt_out("an opt-out among the outcomes", withdrawal(), "type.wrong_topic")._replace(kind="outcome"),
        ask("a request among the consents", asked(), "type.wrong_topic")._replace(kind="consent"),
        ask("a request of no type", asked(type=""), "type.unknown_subject"),
    )),
]  # fmt: skip
