"""`contactgate tail`: one topic, read_committed, in words for people or as JSON for programs. Changes nothing.

An aborted transaction's records are never shown. A sealed dead letter is shown as sealed: opening one needs the
operator's key and is another command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from contactgate.cli.connection import BootstrapOption, PrefixOption, bootstrap_of, client_config, fail
from contactgate.client.reading import Reading
from contactgate.errors import BrokerError
from contactgate.names import (
    ADDRESS_SUPPRESSIONS,
    CONSENT_EVENTS,
    CONTACT_DECISIONS,
    CONTACT_OUTCOMES,
    CONTACT_REQUESTS,
    CONTROL_EVENTS,
    DEAD_LETTERS,
    OPS_ALERTS,
    OPS_METRICS,
)

_ALIASES = {
    "consent": CONSENT_EVENTS,
    "requests": CONTACT_REQUESTS,
    "outcomes": CONTACT_OUTCOMES,
    "control": CONTROL_EVENTS,
    "suppressions": ADDRESS_SUPPRESSIONS,
    "decisions": CONTACT_DECISIONS,
    "dead": DEAD_LETTERS,
    "metrics": OPS_METRICS,
    "alerts": OPS_ALERTS,
}


def tail(
    topic: Annotated[
        str,
        typer.Argument(help="A topic (contact-decisions, approvals.REQUESTER, …) or a short name: decisions, dead."),
    ],
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    from_beginning: Annotated[bool, typer.Option(help="Start with the oldest record kept.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with partition and offset.")] = False,
    maximum: Annotated[int, typer.Option("--max", help="End after this many records; 0 follows forever.", min=0)] = 0,
    until_end: Annotated[bool, typer.Option(help="End where the topic ends now instead of following it.")] = False,
) -> None:
    """Show what is committed on a topic."""
    name = _ALIASES.get(topic, topic)
    full = name if prefix and name.startswith(prefix) else prefix + name
    console = Console(soft_wrap=True, highlight=False)
    shown = 0
    try:
        reading = Reading(
            bootstrap_of(bootstrap), [full], from_beginning=from_beginning or until_end, client_config=client_config()
        )
        try:
            source = reading.to_the_end() if until_end else _following(reading)
            for record in source:
                if as_json:
                    sys.stdout.buffer.write(as_line(record) + b"\n")
                    sys.stdout.flush()
                else:
                    console.print(in_words(record))
                shown += 1
                if maximum and shown >= maximum:
                    break
        finally:
            reading.close()
    except BrokerError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _following(reading: Reading) -> Any:
    while True:
        yield from reading.poll(500)


def as_line(record: Any) -> bytes:
    """One record as JSON: where it is and what it says; a value that is not JSON is given as text."""
    value: Any
    try:
        value = None if record.value is None else msgspec.Raw(msgspec.json.encode(msgspec.json.decode(record.value)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = record.value.decode("utf-8", "backslashreplace")
    key = None if record.key is None else record.key.decode("utf-8", "backslashreplace")
    return msgspec.json.encode(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp,
            "key": key,
            "value": value,
        }
    )


def in_words(record: Any) -> Text:
    """One record as one line: where, when, and what it means; what cannot be printed in it stands as `\ufffd`."""
    line = _in_words(record)
    if not line.plain.isprintable():  # a record must not control the operator's terminal
        line.plain = "".join([char if char.isprintable() else "\ufffd" for char in line.plain])
    return line


def _time(timestamp_ms: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):  # on a topic that keeps the sender's timestamps it can be anything
        return f"{timestamp_ms} ms"


def _in_words(record: Any) -> Text:
    line = Text()
    line.append(f"{record.partition:>3}@{record.offset:<8} {_time(record.timestamp)} ", style="dim")
    if record.value is None:
        return line.append(f"{_plain(record.key)} removed (tombstone)", style="dim")
    try:
        message = msgspec.json.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line.append(f"{len(record.value)} bytes that are not JSON", style="yellow")
    if not isinstance(message, dict):
        return line.append("JSON that is not an object", style="yellow")
    kind = message.get("type")
    say = _WORDS.get(kind) if isinstance(kind, str) else None
    if say is None:
        say = _metrics if record.topic.endswith(OPS_METRICS) else _any
    try:
        return say(message, line)
    except (KeyError, TypeError, AttributeError, IndexError):  # a foreign message under a known type
        return _any(message, line)


def _decision(message: dict[str, Any], line: Text) -> Text:
    verdict = message["verdict"]
    line.append(f"{verdict.upper():<6}", style="bold green" if verdict == "pass" else "bold red")
    line.append(f"{message['request_id']} {message['subject_id']} {message['channel']} by {message['requester']}")
    if message.get("duplicate"):
        line.append(" (asked before)", style="dim")
    if verdict == "pass":
        return line.append(f"  until {_clock(message['valid_until'])}", style="green")
    for number, reason in enumerate(message["reasons"]):
        line.append(" · " if number == 0 else ", ", style="dim")
        line.append(reason["rule"], style="red")
        if reason.get("detail"):
            line.append(f" {reason['detail']}", style="dim")
    again = message.get("next_eligible_at")
    return line.append(f"  eligible {again}" if again else "  no time at which it would pass", style="cyan")


def _reference(message: dict[str, Any]) -> str:
    """What may be shown of an approval; before 0.3 its id was no secret."""
    return str(message.get("approval_ref") or message["approval_id"])


def _approved(message: dict[str, Any], line: Text) -> Text:
    line.append("APPROVED ", style="bold green")
    line.append(f"{message['request_id']} {_reference(message)} {message['channel']} ")
    return line.append(f"until {_clock(message['valid_until'])}", style="green")


def _refused(message: dict[str, Any], line: Text) -> Text:
    line.append("REFUSED ", style="bold red")
    line.append(f"{message['request_id']} {message['channel'] or '-'}: {message['reason']}")
    if message.get("field"):
        line.append(f" ({message['field']})", style="red")
    return line.append(f"  ask again {message['retry_at']}", style="cyan") if message.get("retry_at") else line


def _recalled(message: dict[str, Any], line: Text) -> Text:
    line.append("RECALLED ", style="bold yellow")
    return line.append(f"{message['request_id']} {_reference(message)}: {message['reason']}")


def _withdrawn(message: dict[str, Any], line: Text) -> Text:
    line.append("WITHDRAWN ", style="bold yellow")
    scope = [", ".join(message.get(name) or ["all " + name]) for name in ("channels", "purposes")]
    whom = message.get("controller", "all controllers")
    return line.append(f"{message['subject_token']} {whom}: {scope[0]} for {scope[1]}, {message['time']}")


def _dead(message: dict[str, Any], line: Text) -> Text:
    line.append("DEAD ", style="bold magenta")
    line.append(f"{message['reason']}", style="magenta")
    where = f"{message['topic']} {message.get('partition', '-')}@{message.get('offset', '-')}"
    line.append(f" from {where}")
    if message.get("detail"):
        line.append(f": {message['detail']}", style="dim")
    sealed = message.get("sealed")
    return line.append(f" · sealed, {len(sealed) * 3 // 4:,} bytes" if sealed else " · in clear", style="dim")


def _metrics(message: dict[str, Any], line: Text) -> Text:
    numbers = "  ".join(f"{name} {value:,}" for name, value in message.items() if isinstance(value, int | float))
    names = " ".join(
        str(message[name]) for name in ("worker", "host", "partition") if isinstance(message.get(name), str)
    )
    return line.append(f"{names} ", style="bold").append(numbers)


def _any(message: dict[str, Any], line: Text) -> Text:
    kind = message.get("type", "message")
    line.append(f"{kind} ", style="bold")
    hidden = {"type", "address", "document", "entries", "removed"}  # an address is not for a terminal's history
    rest = {name: value for name, value in message.items() if name not in hidden}
    line.append(msgspec.json.encode(rest).decode())
    gone = sorted(hidden.intersection(message) - {"type"})
    return line.append(f"  (not shown: {', '.join(gone)})", style="dim") if gone else line


_WORDS: dict[str, Callable[[dict[str, Any], Text], Text]] = {
    "contact.decided": _decision,
    "contact.approved": _approved,
    "contact.refused": _refused,
    "contact.recalled": _recalled,
    "permission.withdrawn": _withdrawn,
    "dead.letter": _dead,
}


def _clock(instant: str) -> str:
    return instant[11:19] + " UTC" if instant.endswith("Z") else instant


def _plain(key: bytes | None) -> str:
    return "no key" if key is None else key.decode("utf-8", "backslashreplace")
