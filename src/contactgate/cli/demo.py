"""`contactgate demo`: a live decision stream on a real Apache Kafka that checks its own promises.

The composition root of the demonstration: broker, topics, two workers, the run, the audit. Exit status 1 when a promise
broke or a part failed. Must never touch topics of another prefix, and removes what it made unless asked to keep it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contactgate import broker
from contactgate.broker.bootstrap import ENVIRONMENT
from contactgate.cli.connection import fail
from contactgate.demo.audit import Finding, judge, malformed
from contactgate.demo.evidence import from_kafka, gather
from contactgate.demo.population import REQUESTERS, Population
from contactgate.demo.retry import REQUESTER, Retry
from contactgate.demo.run import Run, Sizes
from contactgate.demo.screen import Screen, summary
from contactgate.demo.tally import Tally
from contactgate.demo.workers import Workers
from contactgate.errors import ContactgateError
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read
from contactgate.topics import Layout, TopicAdmin, topic_specs

PARTITIONS = 8


def demo(
    subjects: Annotated[int, typer.Option(help="How many people.", min=50, max=1_000_000)] = 20_000,
    requests: Annotated[int, typer.Option(help="How many contact requests.", min=100, max=10_000_000)] = 30_000,
    rate: Annotated[float, typer.Option(help="Requests a second.", min=1, max=100_000)] = 800.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people and requests.")] = 1,
    keep: Annotated[bool, typer.Option(help="Leave topics, state and logs behind, and the broker running.")] = False,
) -> None:
    """Stream a generated population through two workers on a real Kafka, kill one, and check every promise."""
    started = time.monotonic()
    console = Console(highlight=False)
    directory = Path(tempfile.mkdtemp(prefix="contactgate-demo-"))
    try:
        with contextlib.ExitStack() as stack:
            address = stack.enter_context(_broker(keep, console, started))
            findings = _run(address, directory, Population(seed, subjects, _now_ms()), requests, rate, console, started)
    except ContactgateError as error:
        fail(f"{error}\nlogs and state are in {directory}")
    except KeyboardInterrupt:
        fail(f"interrupted; logs and state are in {directory}")
    broken = [finding for finding in findings if not finding.held]
    if not keep and not broken:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        console.print(f"logs and state are in {directory}", soft_wrap=True)
    took = time.monotonic() - started
    if broken:
        console.print(f"{len(broken)} of {len(findings)} promises BROKEN in {took:.0f} s", style="bold red")
        raise typer.Exit(1)
    console.print(f"all {len(findings)} promises held; {took:.0f} s in all", style="bold green")


@contextlib.contextmanager
def _broker(keep: bool, console: Console, started: float) -> Iterator[str]:
    if not os.environ.get(ENVIRONMENT):
        console.print("starting Apache Kafka (the first time its jars are fetched) …", markup=False)
    if keep and not os.environ.get(ENVIRONMENT):
        address = broker.up().bootstrap
        console.print(f"kafka stays at {address}; stop it with `contactgate dev kafka down`", soft_wrap=True)
        yield address
        return
    with broker.bootstrap_or_start() as found:
        console.print(f"{time.monotonic() - started:6.1f} s  kafka answers at {found.address}", soft_wrap=True)
        yield found.address


def _run(
    address: str,
    directory: Path,
    population: Population,
    requests: int,
    rate: float,
    console: Console,
    started: float,
) -> list[Finding]:
    prefix = f"demo-{secrets.token_hex(3)}."
    text = files("contactgate.demo").joinpath("policy.yaml").read_text(encoding="utf-8")
    document = read(text, "the policy is wrong")
    with TopicAdmin(address) as admin:
        admin.create(topic_specs(Layout(prefix=prefix, partitions=PARTITIONS, requesters=REQUESTERS)))
    tally = Tally()
    with Workers(address, prefix, directory) as workers, Screen(console, tally, started) as screen:
        for number in (1, 2):
            workers.start(number)
        screen.say(f"two workers start on {PARTITIONS} partitions; topics begin with {prefix}")
        sizes = Sizes(requests, rate, PARTITIONS)
        run = Run(
            bootstrap=address,
            prefix=prefix,
            population=population,
            sizes=sizes,
            tally=tally,
            now_ms=_now_ms,
            say=screen.say,
            check=workers.check,
        )
        try:
            run.prepare({"policy": load_policy(text).hash, "document": document})

            def kill() -> str:
                return f"worker-1 (process {workers.kill(1)}) is killed with SIGKILL in the middle of the stream"

            run.stream(kill)
            run.settle(90)
        finally:
            run.close()
        broken = [*run.broken, *_retry(address, f"{prefix}retry.", directory / "retry", screen.say)]
        screen.say("reading all topics from the beginning, to judge the run from them alone …")
        found = gather(from_kafka(address), prefix, REQUESTERS)
        findings = [
            *judge(found, document),
            malformed(found, run.malformed),
            Finding(
                "the scenes went to plan",
                held=not broken,
                detail="; ".join(broken) or "opt-out, recall, a record in a wrong partition, kill, retry",
            ),
        ]
    summary(console, tally.snapshot(), findings)
    return findings


def _retry(address: str, prefix: str, directory: Path, say: Callable[[str], None]) -> list[str]:
    """The scene on topics with a clock of their own, with a worker for it alone: what it showed to be wrong."""
    with TopicAdmin(address) as admin:
        admin.create(topic_specs(Layout(prefix=prefix, partitions=1, requesters=(REQUESTER,), event_time=True)))
    with Workers(address, prefix, directory, event_time=True) as workers:
        workers.start(3)
        scene = Retry(address, prefix, _now_ms(), say, workers.check)
        try:
            scene.play()
        finally:
            scene.close()
    return scene.broken


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
