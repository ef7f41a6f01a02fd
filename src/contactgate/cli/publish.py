"""`contactgate publish` and `contactgate policy activate`: JSON lines to the right topics under the right keys.

Every line is checked whole before the first is sent (`cli.checking`): a line that would become a dead letter is named
by its number with what to do, and nothing is sent unless asked. Must never skip a line in silence.
"""

from __future__ import annotations

import enum
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from uuid import uuid4

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from contactgate.cli.checking import checked
from contactgate.cli.connection import BootstrapOption, PrefixOption, bootstrap_of, client_config, fail, tokens
from contactgate.client.feed import Feed
from contactgate.client.routing import Misrouted, Routed, loose_key, loose_kind, route
from contactgate.errors import BrokerError, PolicyError
from contactgate.names import INPUTS
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read

_SHOWN = 20
"""How many bad lines are shown before the rest are only counted."""


class OnError(enum.StrEnum):
    """What to do with a line that the gate would refuse."""

    STOP = "stop"
    SKIP = "skip"
    SEND = "send"


class _Stopped(Exception):
    """A bad line ended the run; of a stream every line before it was sent."""


def publish(
    file: Annotated[Path, typer.Argument(help="JSON lines of any input or control message; - reads standard input.")],
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    on_error: Annotated[
        OnError,
        typer.Option(
            help="For a line that the gate would refuse: send nothing at all, skip the line, or send its bytes as they "
            "are (the gate dead-letters them, so nothing vanishes)."
        ),
    ] = OnError.STOP,
    first_line: Annotated[int, typer.Option(help="Start at this line, after a run that stopped.", min=1)] = 1,
    policy: Annotated[Path | None, typer.Option(help="Activate this policy file before the first line.")] = None,
    stream: Annotated[
        bool,
        typer.Option(
            help="Send each line of standard input as it comes, for input that does not end; a bad line ends it there."
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
) -> None:
    """Check JSON lines, then publish them to the right topics, keyed as the gate expects, acknowledged by Kafka."""
    errors = Console(stderr=True)
    if str(file) != "-" and not file.is_file():
        fail(f"there is no file {file}; name a file of JSON lines, or - for standard input")
    if stream and str(file) != "-":
        fail("--stream is for standard input: name - instead of a file")
    if str(file) == "-" and not stream:
        with tempfile.NamedTemporaryFile(prefix="contactgate-") as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
            kept.flush()
            _publish(Path(kept.name), bootstrap, prefix, on_error, first_line, policy, quiet=True, errors=errors)
    else:
        _publish(file, bootstrap, prefix, on_error, first_line, policy, quiet=quiet, errors=errors)


def _publish(
    file: Path,
    bootstrap: str,
    prefix: str,
    on_error: OnError,
    first_line: int,
    policy: Path | None,
    *,
    quiet: bool,
    errors: Console,
) -> None:
    counts: Counter[str] = Counter()
    bad: list[int] = []
    if on_error is OnError.STOP and str(file) != "-":
        _refuse_bad_lines(_lines(file, quiet, errors, "checking"), first_line, errors)
    try:
        with Feed(bootstrap_of(bootstrap), prefix=prefix, client_config=client_config()) as feed:
            if policy is not None:
                counts[activate_policy(feed, policy).kind] += 1
            try:
                _publish_lines(
                    _lines(file, quiet, errors, "publishing"), feed, on_error, first_line, counts, bad, errors
                )
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
    check = _checker()
    for number, line in lines:
        if number < first_line or not line.strip():
            continue
        try:
            records = check(line)
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


def _checker() -> Callable[[bytes], tuple[Routed, ...]]:
    key = tokens()
    return lambda line: checked(line, key, time.time_ns() // 1_000_000)


def _refuse_bad_lines(lines: Iterable[tuple[int, bytes]], first_line: int, errors: Console) -> None:
    """Read the whole file before anything is sent; ends the command if a line would become a dead letter."""
    check, bad = _checker(), 0
    for number, line in lines:
        if number < first_line or not line.strip():
            continue
        try:
            check(line)
        except Misrouted as error:
            bad += 1
            if bad <= _SHOWN:
                errors.print(f"line {number}: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    if bad:
        more = f" ({bad - _SHOWN:,} more are not shown)" if bad > _SHOWN else ""
        fail(
            f"{bad:,} bad {'line' if bad == 1 else 'lines'}{more}; nothing is published. Correct the file, or use "
            "--on-error skip or --on-error send"
        )


def _lines(file: Path, quiet: bool, errors: Console, doing: str) -> Iterator[tuple[int, bytes]]:
    """Numbered lines without their ends, behind a progress bar when someone is looking."""
    if str(file) == "-":
        yield from _numbered(sys.stdin.buffer)
        return
    with file.open("rb") as stream:
        if quiet or not errors.is_terminal:
            yield from _numbered(stream)
            return
        columns = (TextColumn(doing), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=errors) as progress:
            task = progress.add_task(doing, total=file.stat().st_size)
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
