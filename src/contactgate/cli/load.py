"""`contactgate dev load`: how fast one worker decides, and how long from append to committed decision.

Two measurements on topics of its own: requests at a fixed rate, each decision's arrival at a read_committed consumer
minus Kafka's append time of its request; then a backlog that waits for the worker, decided as fast as it can. Measures
the whole path with exactly-once, the audit chain and the demonstration's full policy on. Changes nothing else.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contactgate import broker
from contactgate.cli.connection import fail
from contactgate.errors import ContactgateError
from contactgate.load.generator import measure


def load(
    rate: Annotated[
        float, typer.Option(help="Requests a second of the latency measurement.", min=1, max=50_000)
    ] = 1_000.0,
    seconds: Annotated[float, typer.Option(help="How long to measure latency.", min=1, max=3_600)] = 15.0,
    backlog: Annotated[
        int, typer.Option(help="Requests of the throughput measurement.", min=0, max=5_000_000)
    ] = 60_000,
    subjects: Annotated[int, typer.Option(help="How many people, with their consents.", min=50)] = 20_000,
    partitions: Annotated[int, typer.Option(help="Partitions of the topics.", min=1, max=256)] = 8,
) -> None:
    """Measure one worker: latency at a fixed rate and decisions a second on a backlog."""
    console = Console(highlight=False, soft_wrap=True)
    directory = Path(tempfile.mkdtemp(prefix="contactgate-load-"))
    try:
        with broker.bootstrap_or_start() as found:
            table = measure(
                address=found.address,
                directory=directory,
                rate=rate,
                seconds=seconds,
                backlog=backlog,
                subjects=subjects,
                partitions=partitions,
                say=console.print,
            )
    except ContactgateError as error:
        fail(f"{error}\nthe worker's log is in {directory}")
    shutil.rmtree(directory, ignore_errors=True)
    console.print(table)
