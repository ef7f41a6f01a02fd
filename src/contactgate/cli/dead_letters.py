"""`contactgate dead-letters list|open|resubmit`: what could not be processed, opened with the key, sent again.

`list` never shows contents: they may hold an address. `open` says so. `resubmit` sends nothing that would be a dead
letter again, unless forced to.
"""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from contactgate.cli.connection import BootstrapOption, PrefixOption, bootstrap_of, client_config, fail, settings
from contactgate.cli.proving import counted
from contactgate.client.history import History
from contactgate.client.installation import Installation
from contactgate.client.letters import LETTERS, RESUBMITS, Letter, read_letters
from contactgate.client.letters import resubmit as send_again
from contactgate.codec import control, strict
from contactgate.codec.seal import Sealed, Sealer
from contactgate.errors import ContactgateError, MalformedMessage
from contactgate.names import INPUTS, Kind

app = typer.Typer(no_args_is_help=True, help="Messages that could not be processed: list, open, repair, resubmit.")

Name = Annotated[str, typer.Argument(help="The letter, as `list` names it: request-3-1017.")]


@app.command("list")
def list_letters(
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    reason: Annotated[str, typer.Option(help="Only these: a reason, or its beginning (`json.`).")] = "",
    topic: Annotated[str, typer.Option(help="Only from this topic: consent-events, contact-requests, …")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List dead letters: name, time, topic, offset and reason, never their contents."""
    reasons: Counter[str] = Counter()
    try:
        with History(bootstrap_of(bootstrap), client_config()) as history:
            for letter in _letters(Installation(history, prefix)):
                source = INPUTS.get(letter.kind, letter.kind)
                if not letter.reason.startswith(reason) or topic not in {"", source, letter.kind}:
                    continue
                reasons[letter.reason] += 1
                if as_json:
                    line = {
                        "name": letter.name, "time": letter.time, "topic": source, "partition": letter.partition,
                        "offset": letter.offset, "reason": letter.reason, "detail": letter.detail, "at": letter.at,
                    }  # fmt: skip
                    print(msgspec.json.encode(line).decode())
                else:
                    place = f"{source}/{letter.partition}/{letter.offset}"
                    print(f"{letter.name}  {letter.time}  {place}  {letter.reason}: {letter.detail}")
    except ContactgateError as error:
        fail(str(error))
    summary = ", ".join(f"{count:,} {name}" for name, count in reasons.most_common())
    print(f"{reasons.total():,} dead letters{': ' if summary else ''}{summary}", file=sys.stderr)


@app.command("open")
def open_letter(
    name: Name,
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    out: Annotated[
        Path | None, typer.Option(help="Write to this new file, readable by you alone; default: standard output.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write key, value and headers as JSON, in base64; else the value's bytes.")
    ] = False,
) -> None:
    """Open a sealed letter with the operator's key (CONTACTGATE_SEAL_KEY or its _FILE) and write the original bytes."""
    try:
        with History(bootstrap_of(bootstrap), client_config()) as history:
            _, sealed = _opened(Installation(history, prefix), name)
        if not record and sealed.value is None:
            fail("the record had no value; see its key and headers with --record")
        content = _as_json(sealed) if record else sealed.value or b""
        if out is None:
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
        else:
            handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
    except FileExistsError:
        fail(f"there is a file {out} already; it is left as it is, name another")
    except (ContactgateError, OSError) as error:
        fail(str(error))
    place = "" if out is None else f" to {out}"
    print(
        f"warning: {len(content):,} bytes written{place} in clear; they may hold an address or a phone number. "
        "delete them when the message is repaired",
        file=sys.stderr,
    )


@app.command()
def resubmit(
    name: Name,
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    value: Annotated[
        Path | None, typer.Option(help="File with the repaired message; default: the original bytes.", exists=True)
    ] = None,
    key: Annotated[str, typer.Option(help="The right Kafka key, when that was the fault; default: the original.")] = "",
    force: Annotated[bool, typer.Option(help="Send it even if it would be a dead letter again.")] = False,
) -> None:
    """Send a letter's message to its original topic again, with its key and headers and a header naming the letter."""
    try:
        address = bootstrap_of(bootstrap)
        with History(address, client_config()) as history:
            topics = Installation(history, prefix)
            letter, sealed = _opened(topics, name)
            headers = sealed.headers or _headers(topics, letter, sealed)
        content = sealed.value if value is None else value.read_bytes().strip()
        used = key.encode() if key else sealed.key
        _check(letter, used, content, force=force)
        topic = topics.topic(INPUTS[letter.kind])
        sent = send_again(address, topic, used, content, headers, letter.name, client_config())
    except (ContactgateError, OSError) as error:
        fail(str(error))
    what = "the original bytes" if content == sealed.value else f"{len(content or b''):,} repaired bytes"
    under = "its original key" if used == sealed.key else "the key given"
    print(
        f"{letter.name} ({letter.reason}): {what} sent to {sent.topic}, partition {sent.partition}, "
        f"offset {sent.offset}, under {under}, with {len(headers)} original headers and {RESUBMITS}: {letter.name}"
    )


def _letters(topics: Installation) -> list[Letter]:
    """All letters, oldest first."""
    found = read_letters(counted(topics.all_of(LETTERS), "reading dead letters"))
    return sorted(found, key=lambda letter: (letter.time, letter.name))


def _opened(topics: Installation, name: str) -> tuple[Letter, Sealed]:
    """The letter of this name and what it seals."""
    sealer = Sealer(settings().sealing_key())
    for letter in read_letters(counted(topics.all_of(LETTERS), "looking for the letter")):
        if letter.name == name:
            if letter.kind not in INPUTS:
                raise ContactgateError(f"the letter is of no topic that is known here: {letter.kind}")
            if not letter.sealed:
                raise ContactgateError(
                    f"the message was too large to be kept; it is at {letter.place} of its own topic"
                )
            return letter, sealer.open(letter.place, letter.sealed)
    raise ContactgateError(f"there is no dead letter {name}; `contactgate dead-letters list` names them")


def _headers(topics: Installation, letter: Letter, sealed: Sealed) -> list[tuple[str, bytes]]:
    """The original record's headers while it is still on its topic; letters do not seal them."""
    found = topics.record(INPUTS[letter.kind], letter.partition, letter.offset)
    if found is None or (found.key, found.value) != (sealed.key, sealed.value):
        return []
    return list(found.headers)


def _check(letter: Letter, key: bytes | None, value: bytes | None, *, force: bool) -> None:
    """Refuse what the gate would only refuse again, as far as the message alone shows."""
    if force or value is None:
        return
    try:
        if letter.kind == Kind.CONTROL:
            wanted = control.key_of(control.decode(value))
            fits = key is not None and key.decode("utf-8", "replace") in wanted
        else:
            message = strict.decode(Kind(letter.kind), value)
            fits = letter.kind == Kind.SUPPRESSION or key == message.subject_id.encode()
        if not key or not fits:
            raise MalformedMessage("key.mismatch", "the key is not the one its value calls for; give it with --key")
    except MalformedMessage as fault:
        raise ContactgateError(
            f"nothing was sent: this would be a dead letter again ({fault}). repair it, or use --force"
        ) from None


def _as_json(sealed: Sealed) -> bytes:
    def text(data: bytes | None) -> str | None:
        return None if data is None else b64encode(data).decode()

    headers = [[name, text(content)] for name, content in sealed.headers]
    return msgspec.json.encode({"key": text(sealed.key), "value": text(sealed.value), "headers": headers}) + b"\n"
