"""`contactgate verify`: is the chain of decisions whole, and does the log lead to them again? Changes no topic.

Ends with status 1 on any fault. Writes only the file of chain heads, and only after everything was found whole.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from contactgate.cli.connection import BootstrapOption, PrefixOption, bootstrap_of, client_config, fail
from contactgate.cli.proving import EventTimeOption, PolicyOption, Provable, counted, kept
from contactgate.client.history import History
from contactgate.errors import ContactgateError
from contactgate.model.decision import SEMANTICS
from contactgate.model.instants import stamp
from contactgate.names import CONTACT_DECISIONS
from contactgate.proof.rederive import Rederived, Rules, rederive
from contactgate.proof.walk import Heads, Walk, read_heads, write_heads

_SHOWN = 20


def verify(
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    partition: Annotated[int | None, typer.Option(help="Only this partition.", min=0)] = None,
    again: Annotated[
        bool, typer.Option("--rederive", help="Make every decision again from the log; needs the token key.")
    ] = False,
    head: Annotated[
        Path | None,
        typer.Option(help="File of chain heads: compared if it exists, then written. Keep it out of Kafka's reach."),
    ] = None,
    accept_start: Annotated[
        bool, typer.Option(help="The oldest decisions were removed by retention: begin with the first one there is.")
    ] = False,
    policy: PolicyOption = None,
    event_time: EventTimeOption = False,
) -> None:
    """Check the chain of decisions of every partition; status 1 and the first bad position if it is not whole."""
    try:
        with (
            TemporaryDirectory(prefix="contactgate-") as lists,
            History(bootstrap_of(bootstrap), client_config()) as history,
        ):
            whole = _verify(
                Provable(history, prefix, lists), partition, head, policy, again=again, accept_start=accept_start,
                event_time=event_time,
            )  # fmt: skip
    except (ContactgateError, OSError) as error:
        fail(str(error))
    if not whole:
        raise typer.Exit(1)


def _verify(
    topics: Provable,
    only: int | None,
    head: Path | None,
    policy: Path | None,
    *,
    again: bool,
    accept_start: bool,
    event_time: bool,
) -> bool:
    topic = topics.topic(CONTACT_DECISIONS)
    before = read_heads(head.read_bytes(), topic) if head is not None and head.exists() else None
    rules = topics.rules(policy, event_time=event_time) if again else None
    partitions = topics.partitions() if only is None else [only]
    walks: dict[int, Walk] = {}
    whole = True
    for number in partitions:
        walk = walks[number] = _walk(topics, number, before, accept_start=accept_start)
        whole = _tell(walk) and whole
        if rules is not None:
            whole = _rederived(topics, number, walk, rules) and whole
    total = sum(walk.count for walk in walks.values())
    if not whole:
        print(f"NOT WHOLE: see above; {total:,} decisions of {len(walks)} partitions were read in order")
        return False
    print(f"whole: {total:,} decisions of {len(walks)} partitions")
    if head is not None:
        checked_at = stamp(time.time_ns() // 1_000_000)
        written = head.with_name(f"{head.name}.new")
        written.write_bytes(write_heads(topic, checked_at, walks, before))
        written.replace(head)
        print(f"chain heads {'compared with and ' if before else ''}written to {head}")
    return True


def _walk(topics: Provable, number: int, before: Heads | None, *, accept_start: bool) -> Walk:
    walk = Walk(number, None if before is None else before.link(number), accept_start=accept_start)
    for found in counted(topics.decisions(number), f"partition {number}: chain"):
        if not walk.take(found.offset, found.key, found.value):
            break
    walk.finish()
    return walk


def _tell(walk: Walk) -> bool:
    if walk.broken is not None:
        print(f"BROKEN {walk.broken}")
        return False
    if walk.count and walk.head is not None:
        seqs = f"seq {walk.begins} to {walk.head.seq}"
        print(f"partition {walk.partition}: {walk.count:,} decisions, {seqs}, head {walk.head.hash}")
    else:
        print(f"partition {walk.partition}: no decisions")
    return True


def _rederived(topics: Provable, number: int, walk: Walk, rules: Rules) -> bool:
    # Decided while we read: inputs are read after the decisions, so they are there; later decisions are left out.
    end = None if walk.broken is not None else walk.next_offset
    found, _ = rederive(
        number,
        rules,
        topics.inputs(number),
        counted(kept(topics.decisions(number, end)), f"partition {number}: deciding again"),
        topics.metas(number),
        begin=topics.request_begin(number),
    )
    for difference in found.different[:_SHOWN]:
        print(f"DIFFERS {difference}")
    if found.differing:
        print("were the token key, the --policy and the release those of the workers? if so, the log was changed")
    print(f"partition {number}: {_summary(found)}")
    unread = 0 if walk.broken is not None else walk.count - found.read
    if unread:
        print(f"partition {number}: {unread:,} decisions are in the chain, and this release cannot read them")
    return found.differing == 0 and not unread


def _summary(found: Rederived) -> str:
    parts = [f"{found.equal:,} decisions derived again and equal"]
    if found.differing:
        parts.append(f"{found.differing:,} differ (one difference may lead to others of the same subject)")
    for version, count in sorted(found.others.items()):
        parts.append(f"{count:,} were decided by version {version} of the semantics, not by this release's {SEMANTICS}")
    if found.others_differing:
        parts.append(f"{found.others_differing:,} of those come out otherwise here, which proves nothing")
    if found.carried:
        parts.append(f"{found.carried:,} records belong to other partitions and were carried there")
    if found.gone:
        parts.append(f"{found.gone:,} cannot be derived, for retention removed their requests")
    if found.unsure:
        what = "they rest on requests that are gone, or on others' answers"
        parts.append(f"{found.unsure:,} come out otherwise, which proves nothing: {what}")
    placed = f"{found.from_metas:,} placed by transaction records, {found.from_decisions:,} by their own positions"
    return f"{'; '.join(parts)} ({placed})"
