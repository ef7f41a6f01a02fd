"""`contactgate topics create|check|describe`: the topics of an installation. Only turns words into calls.

What is not said is taken from the topics that exist: `topics create --requester NAME` adds one approvals topic with
the partition count, replication and time stamps of the rest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from contactgate.cli.connection import BootstrapOption, PrefixOption, bootstrap_of, client_config, fail
from contactgate.errors import ContactgateError
from contactgate.topics import DEFAULT_PARTITIONS, Difference, Layout, TopicAdmin, TopicState, topic_specs

app = typer.Typer(name="topics", no_args_is_help=True, help="Create, check and describe the topics contactgate needs.")

RequesterOption = Annotated[
    list[str] | None,
    typer.Option("--requester", help="A party that gets its own approvals topic; may be repeated."),
]
PartitionsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help=f"Partitions of topics keyed by subject; default: as existing, else {DEFAULT_PARTITIONS}."
    ),
]
ReplicationOption = Annotated[
    int | None,
    typer.Option(min=1, help="Replicas; default: as existing, else 3 on three brokers, else 1."),
]
EventTimeOption = Annotated[
    bool | None,
    typer.Option(
        "--event-time/--arrival-time",
        help="Keep the producers' time stamps (replays of old data) or the broker's; default: as existing.",
    ),
]

_SHOWN = (
    "cleanup.policy", "retention.ms", "message.timestamp.type", "max.message.bytes", "min.insync.replicas",
)  # fmt: skip


@app.command()
def create(
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    requester: RequesterOption = None,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
    event_time: EventTimeOption = None,
) -> None:
    """Create the topics that are missing; never changes one that exists. Exit status 1 when existing ones differ."""
    try:
        with TopicAdmin(bootstrap_of(bootstrap), client_config=client_config()) as admin:
            layout = _layout(admin, prefix, requester, partitions, replication, event_time)
            done = admin.create(topic_specs(layout))
    except ContactgateError as error:
        fail(str(error))
    differing = {difference.topic for difference in done.differences}
    table = Table("topic", "result")
    for name in done.created:
        table.add_row(name, "created")
    for name in done.existed:
        table.add_row(name, "exists, differs" if name in differing else "exists")
    Console().print(table)
    _report(done.differences)


@app.command()
def check(
    bootstrap: BootstrapOption = "",
    prefix: PrefixOption = "",
    requester: RequesterOption = None,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
    event_time: EventTimeOption = None,
) -> None:
    """Compare the topics with what they must be; exit status 1 when one is missing or differs."""
    try:
        with TopicAdmin(bootstrap_of(bootstrap), client_config=client_config()) as admin:
            specs = topic_specs(_layout(admin, prefix, requester, partitions, replication, event_time))
            differences = admin.check(specs)
    except ContactgateError as error:
        fail(str(error))
    _report(differences)
    print(f"{len(specs)} topics are as they must be")


@app.command()
def describe(bootstrap: BootstrapOption = "", prefix: PrefixOption = "") -> None:
    """Show the topics that exist under the prefix with the settings that matter; exit status 1 when there are none."""
    try:
        with TopicAdmin(bootstrap_of(bootstrap), client_config=client_config()) as admin:
            states = admin.describe(prefix)
    except ContactgateError as error:
        fail(str(error))
    if not states:
        fail(f"there are no topics with the prefix {prefix!r}; create them with `contactgate topics create`")
    Console().print(_table(states))


def _layout(
    admin: TopicAdmin,
    prefix: str,
    requesters: list[str] | None,
    partitions: int | None,
    replication: int | None,
    event_time: bool | None,
) -> Layout:
    layout = admin.observed(prefix) or Layout(prefix=prefix, replication=3 if admin.brokers() >= 3 else 1)
    named = [name for name in requesters or () if name not in layout.requesters]
    return replace(
        layout,
        requesters=(*layout.requesters, *dict.fromkeys(named)),
        partitions=layout.partitions if partitions is None else partitions,
        replication=layout.replication if replication is None else replication,
        event_time=layout.event_time if event_time is None else event_time,
    )


def _report(differences: tuple[Difference, ...]) -> None:
    if differences:
        fail("\n".join(["the topics are not as they must be:", *(f"  {difference}" for difference in differences)]))


def _table(states: tuple[TopicState, ...]) -> Table:
    table = Table("topic", "partitions", "replicas", *_SHOWN)
    for state in states:
        shown = [state.configs.get(key, "") for key in _SHOWN]
        table.add_row(state.name, str(state.partitions), str(state.replication), *shown)
    return table
