"""`contactgate publish` and `contactgate policy activate`: JSON lines to the right topics under the right keys.

A line that cannot be sent is named by its number with what to do; lines before it stay sent and none is skipped unless
asked. Must never judge a message beyond its route: what is wrong inside it is the gate's to dead-letter.
"""

from __future__ import annotations

import enum
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from uuid import uuid4

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from contactgate.cli.connection import BootstrapOption, PrefixOption, bootstrap_of, client_config, fail, tokeniser
from contactgate.client.feed import Feed
from contactgate.client.routing import Misrouted, Routed, loose_key, loose_kind, route
from contactgate.errors import BrokerError, PolicyError
from contactgate.names import INPUTS
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read


class OnError(enum.StrEnum):
    """What to do with a line that cannot be routed."""

    STOP = "stop"
    SKIP = "skip"
    SEND = "send"


class _Stopped(Exception):
    """A bad line ended the run; every line before it was sent."""


def publish(
    file: Annotated[Path, typer.Argument(help="JSON lines of any input or control message; - reads standard input.")],
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    on_error: Annotated[
        OnError,
        typer.Option(
            help="For a line without a route: stop there, skip it, or send its bytes as they are "
            "(the gate dead-letters them, so nothing vanishes)."
        ),
    ] = OnError.STOP,
    first_line: Annotated[int, typer.Option(help="Start at this line, after a run that stopped.", min=1)] = 1,
    policy: Annotated[Path | None, typer.Option(help="Activate this policy file before the first line.")] = None,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
) -> None:
    """Publish JSON lines to the right topics, keyed as the gate expects, acknowledged by Kafka."""
    errors = Console(stderr=True)
    if str(file) != "-" and not file.is_file():
        fail(f"there is no file {file}; name a file of JSON lines, or - for standard input")
    counts: Counter[str] = Counter()
    bad: list[int] = []
    try:
        with Feed(bootstrap_of(bootstrap), prefix=prefix, client_config=client_config()) as feed:
            if policy is not None:
                counts[activate_policy(feed, policy).kind] += 1
            try:
                _publish_lines(_lines(file, quiet, errors), feed, on_error, first_line, counts, bad, errors)
            finally:
                feed.flush()
    except _Stopped:
        pass
    except (BrokerError, PolicyError) as error:
        fail(str(error))
    for kind in sorted(counts):
        errors.print(f"{counts[kind]:>9,} {prefix}{INPUTS[kind]}", highlight=False)
    sent = sum(counts.values())
    if bad and on_error is OnError.STOP:
        fail(
            f"stopped at line {bad[0]}; {sent:,} records before it are published. correct it and go on with "
            f"--first-line {bad[0]}, or use --on-error skip or --on-error send"
        )
    word = {OnError.SKIP: "skipped", OnError.SEND: "sent as they are"}.get(on_error, "bad")
    print(f"{sent:,} published, {len(bad):,} bad lines" + (f" {word}" if bad else ""))
    if bad and on_error is OnError.SKIP:
        raise typer.Exit(1)


def activate(
    file: Annotated[Path, typer.Argument(help="The policy, in YAML.")],
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
) -> None:
    """Check a policy and make it the one in force: publishes policy.activated and waits for the acknowledgement."""
    try:
        with Feed(bootstrap_of(bootstrap), prefix=prefix, client_config=client_config()) as feed:
            name = msgspec.json.decode(activate_policy(feed, file).value)["policy"]
    except (BrokerError, PolicyError) as error:
        fail(str(error))
    print(f"active: {name}")


def activate_policy(feed: Feed, file: Path) -> Routed:
    """Publish `policy.activated` for a file and wait until it is acknowledged. Raises PolicyError, BrokerError."""
    (routed,) = route(msgspec.json.encode(policy_event(file)))
    feed.send_now(routed)
    return routed


def policy_event(file: Path) -> dict[str, Any]:
    """The control event that activates the policy in `file`. Raises PolicyError with every fault of the document."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"the policy {file} cannot be read ({type(error).__name__}); name a yaml file in utf-8")
    compiled = load_policy(text)
    return {
        "type": "policy.activated",
        "event_id": f"policy-{uuid4()}",
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "policy": compiled.hash,
        "document": read(text, "the policy is wrong"),
    }


def _publish_lines(
    lines: Iterable[tuple[int, bytes]],
    feed: Feed,
    on_error: OnError,
    first_line: int,
    counts: Counter[str],
    bad: list[int],
    errors: Console,
) -> None:
    tokens = tokeniser()
    for number, line in lines:
        if number < first_line or not line.strip():
            continue
        try:
            records = route(line, tokens)
        except Misrouted as error:
            bad.append(number)
            errors.print(f"line {number}: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
            if on_error is OnError.STOP:
                raise _Stopped from error
            if on_error is OnError.SKIP:
                continue
            records = (Routed(loose_kind(line), loose_key(line), line),)
        for routed in records:
            feed.send(routed)
            counts[routed.kind] += 1


def _lines(file: Path, quiet: bool, errors: Console) -> Iterator[tuple[int, bytes]]:
    """Numbered lines without their ends, behind a progress bar when someone is looking."""
    if str(file) == "-":
        yield from _numbered(sys.stdin.buffer)
        return
    with file.open("rb") as stream:
        if quiet or not errors.is_terminal:
            yield from _numbered(stream)
            return
        columns = (TextColumn("publishing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=errors) as progress:
            task = progress.add_task("publishing", total=file.stat().st_size)
            done = 0
            for number, line in _numbered(stream):
                yield number, line
                done += len(line) + 1
                if number % 500 == 0:
                    progress.update(task, completed=done)
            progress.update(task, completed=file.stat().st_size)


def _numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(stream, start=1):
        yield number, line.rstrip(b"\r\n")
