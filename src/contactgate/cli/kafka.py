"""`contactgate dev kafka up|down|status`: the embedded broker from the command line. Only turns words into calls."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from contactgate import broker
from contactgate.broker import BrokerStatus
from contactgate.cli.connection import fail
from contactgate.errors import ContactgateError

app = typer.Typer(
    name="kafka",
    no_args_is_help=True,
    help="A real Apache Kafka on 127.0.0.1 for development; not for production, it has no authentication.",
)


@app.command()
def up(
    nodes: Annotated[int, typer.Option(min=1, max=9, help="How many nodes; three replicate.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Where the data live; default: in the user's state.")] = None,
    keep: Annotated[bool, typer.Option(help="Keep the data when the broker is stopped.")] = True,
) -> None:
    """Start the broker in the background, or say where it already runs. Prints its address."""
    console = Console(stderr=True)
    started = time.monotonic()
    try:
        with console.status("starting Apache Kafka (the first time its jars are fetched) …"):
            now = broker.up(nodes, data_dir, keep=keep)
    except ContactgateError as error:
        fail(str(error))
    if now.started:
        console.print(f"started in {time.monotonic() - started:.1f} s; data in {now.directory}")
    else:
        console.print(f"was already running; data in {now.directory}")
    console.print(f"use it in this shell with: export KAFKA_BOOTSTRAP={now.bootstrap}", soft_wrap=True)
    print(now.bootstrap)


@app.command()
def down() -> None:
    """Stop the background broker in order; its data stay unless it was started with --no-keep."""
    try:
        found = broker.down()
    except ContactgateError as error:
        fail(str(error))
    if not found.nodes:
        print("no broker was running")
    elif found.keep:
        print(f"stopped {found.bootstrap}; its data stay in {found.directory}")
    else:
        print(f"stopped {found.bootstrap} and removed its data")


@app.command()
def status() -> None:
    """Show the background broker's nodes; exit status 1 unless all of them serve."""
    try:
        found = broker.status()
    except ContactgateError as error:
        fail(str(error))
    if not found.nodes:
        print("no broker is running; start one with: contactgate dev kafka up")
        raise typer.Exit(1)
    Console().print(_table(found))
    if not found.running:
        raise typer.Exit(1)


def _table(found: BrokerStatus) -> Table:
    table = Table(title=f"Apache Kafka {broker.KAFKA_VERSION} in {found.directory}", title_justify="left")
    for heading in ("node", "address", "process", "state"):
        table.add_column(heading)
    for node in found.nodes:
        state = "serving" if node.serving else "not answering" if node.alive else "ended"
        table.add_row(str(node.node_id), node.address, str(node.pid), state)
    return table
