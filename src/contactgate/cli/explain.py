"""`contactgate explain`: why one request was decided as it was, rule by rule, with the facts and events behind it.

Live: finds the decision, replays what can touch its subject up to the recorded positions and asks the gate's own rules
there; says openly when that does not lead to the recorded decision. Offline: the same on a file of events. Changes
nothing; never prints an address.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec
import typer

from contactgate.cli.connection import BootstrapOption, PrefixOption, bootstrap_of, client_config, fail
from contactgate.cli.decide import KeyFile, offline_tokens
from contactgate.cli.proving import EventTimeOption, PolicyOption, Provable, counted, kept
from contactgate.client.history import Found, History
from contactgate.client.letters import LETTERS, Letter, read_letters
from contactgate.codec import messages as read
from contactgate.codec import strict
from contactgate.codec.tokens import Tokens
from contactgate.core.explain import Explanation, render
from contactgate.core.explain import explain as explained
from contactgate.errors import ContactgateError, MalformedMessage
from contactgate.model.instants import to_ms
from contactgate.model.log import murmur2
from contactgate.names import Kind
from contactgate.offline import Fold
from contactgate.policy.load import load_policy
from contactgate.proof.decided import Kept
from contactgate.proof.rederive import NO_TOPIC, Looked, rederive
from contactgate.registry import opener


def explain(
    request_id: Annotated[str, typer.Argument(help="The request to explain.")],
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    subject: Annotated[str, typer.Option(help="Its subject_id: only one partition is read then.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a decision.")] = False,
    policy: PolicyOption = None,
    event_time: EventTimeOption = False,
    offline: Annotated[bool, typer.Option("--offline", help="Explain from files instead of Kafka.")] = False,
    events: Annotated[
        Path | None, typer.Option(help="With --offline: JSON lines, as for `decide`; - reads standard input.")
    ] = None,
    key_file: KeyFile = None,
) -> None:
    """Explain why a request passed or was blocked: every rule, its facts, the events they came from, until when."""
    try:
        if offline:
            if policy is None or events is None:
                fail("explain --offline needs --policy and --events")
            # The same keys as `decide`, so that suppressions by token fit.
            found = _offline(request_id, policy, events, offline_tokens(key_file))
        else:
            with (
                TemporaryDirectory(prefix="contactgate-") as lists,
                History(bootstrap_of(bootstrap), client_config()) as history,
            ):
                topics = Provable(history, prefix, lists)
                found = _live(request_id, subject, topics, policy, event_time=event_time)
    except (ContactgateError, OSError, ValueError) as error:
        fail(str(error))
    for number, (head, explanation) in enumerate(found):
        if as_json:
            print(msgspec.json.encode({"recorded": head, "explanation": explanation}).decode())
        else:
            print("\n" * bool(number) + "".join(f"{line}\n" for line in head) + render(explanation), end="")


# --- live -------------------------------------------------------------------------------------------------------------


def _live(
    request_id: str, subject: str, topics: Provable, policy: Path | None, *, event_time: bool
) -> list[tuple[list[str], Explanation]]:
    rules = topics.rules(policy, event_time=event_time)
    every = topics.partitions()
    partitions = [murmur2(subject.encode()) % len(every)] if subject else every
    found = [
        (partition, each) for partition in partitions for each in _decisions(topics, partition, request_id, subject)
    ]
    if not found:
        fail(_nowhere(topics, partitions, request_id))
    subjects = sorted({each.decided.subject_id for _, each in found})
    if len(subjects) > 1:
        fail(f"{len(subjects)} subjects were asked for under this request_id; choose one with --subject: {subjects}")
    partition = found[0][0]
    key = subjects[0].encode()
    own = (each for each in topics.decisions(partition) if each.key == key)
    result, looked = rederive(
        partition,
        rules,
        topics.inputs(partition),
        counted(kept(own), f"partition {partition}: deciding again"),
        topics.metas(partition),
        begin=topics.request_begin(partition),
        subject=key,
        look_at=frozenset(each.offset for _, each in found),
    )
    if not looked:
        fail(
            f"the decision is at offset {found[0][1].offset} of partition {partition} ({_verdict(found[0][1])}), but "
            f"its request is gone from its topic: it cannot be explained. {'; '.join(map(str, result.different[:1]))}"
        )
    return [(_head(partition, each), each.explanation) for each in looked]


def _decisions(topics: Provable, partition: int, request_id: str, subject: str) -> Iterator[Kept]:
    quoted = msgspec.json.encode(request_id)
    key = subject.encode()
    records = (
        each
        for each in counted(topics.decisions(partition), f"looking for the decision, partition {partition}")
        if quoted in (each.value or b"") and key in (b"", each.key)
    )
    for each in kept(records):
        if each.decided.request_id == request_id:
            yield each


def _nowhere(topics: Provable, partitions: Iterable[int], request_id: str) -> str:
    """What became of a request that has no decision."""
    quoted = msgspec.json.encode(request_id)
    for partition in partitions:
        for each in counted(topics.requests(partition), f"looking for the request, partition {partition}"):
            if quoted in (each.value or b"") and _asks(each, request_id):
                letter = _letter(topics, partition, each.offset)
                place = f"the request is at offset {each.offset} of partition {partition}"
                if letter is None:
                    return f"{place} and is not decided yet; is a worker running?"
                return f"{place} and became dead letter {letter.name}: {letter.reason}: {letter.detail}"
    return "no decision and no request has this request_id; check its spelling and the prefix"


def _asks(found: Found, request_id: str) -> bool:
    try:
        message = msgspec.json.decode(found.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True  # broken JSON that names it
    return isinstance(message, dict) and message.get("request_id") == request_id


def _letter(topics: Provable, partition: int, offset: int) -> Letter | None:
    for letter in read_letters(topics.all_of(LETTERS)):
        if (letter.kind, letter.partition, letter.offset) == (Kind.REQUEST, partition, offset):
            return letter
    return None


def _verdict(found: Kept) -> str:
    decided = found.decided
    told = f"{decided.verdict} at {decided.decided_at}"
    return told + (": " + ", ".join(reason.rule for reason in decided.reasons) if decided.reasons else "")


def _head(partition: int, looked: Looked) -> list[str]:
    found = looked.kept
    decided = found.decided
    position = decided.position
    below = (
        f"and everything below consent {position.consent}, outcome {position.outcome}, "
        f"control {position.control}, suppression {position.suppression}"
    )
    lines = [
        f"recorded   {_verdict(found)}{', again' if decided.duplicate else ''}",
        f"           partition {partition}, offset {found.offset}, seq {decided.seq}, {decided.hash}",
        f"made from  request {position.request}, {below}",
        f"policy     {decided.policy or 'none'}",
    ]
    if any(reason.detail == NO_TOPIC for reason in decided.reasons):
        lines.append(f"apart from the rules: {NO_TOPIC}, and so it was blocked")
    if looked.difference:
        lines.append("DERIVED OTHERWISE, so what follows is not how it was decided:")
        lines += [f"           {each}" for each in looked.difference]
        lines.append("           was the log changed, or did the workers start with another --policy?")
    else:
        lines.append("derived    again from the log: equal")
    return lines


# --- offline ----------------------------------------------------------------------------------------------------------


def _offline(request_id: str, policy: Path, events: Path, tokens: Tokens) -> list[tuple[list[str], Explanation]]:
    quoted = msgspec.json.encode(request_id)
    found: list[tuple[list[str], Explanation]] = []
    with TemporaryDirectory(prefix="contactgate-") as lists, ExitStack() as opened:
        fold = Fold(load_policy(policy.read_bytes()), tokens, open_list=opener(Path("/"), tokens, Path(lists)))
        source = sys.stdin.buffer if str(events) == "-" else opened.enter_context(events.open("rb"))
        for number, line in enumerate(source, 1):
            told = _told(fold, line, request_id, tokens) if quoted in line else None
            made = fold.line(line.rstrip(b"\r\n"))
            if told is not None:
                outcome = msgspec.json.decode(made[0])
                shown = outcome.get("verdict") or f"dead letter {outcome.get('reason')}: {outcome.get('detail')}"
                found.append(([f"line {number}: {shown}"], told))
    if not found:
        fail("no line of these events asks under this request_id")
    return found


def _told(fold: Fold, line: bytes, request_id: str, tokens: Tokens) -> Explanation | None:
    """The explanation of a line that asks under this id, before it is folded."""
    try:
        message = strict.decode(Kind.REQUEST, line.strip())
        if message.request_id != request_id:
            return None
        at_ms = to_ms(message.time)
        request = read.request(message, at_ms, tokens)
    except MalformedMessage:
        return None
    return explained(request, fold.states.get(message.subject_id.encode()), fold.world, at_ms)
