"""`contactgate worker`: one worker process. Settings, keys and topics are checked first; then Faust runs it.

The composition root of the live gate. Refuses to start on topics that are not as they must be, saying how they differ.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from contactgate.cli.connection import bootstrap_of, fail
from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.errors import BrokerUnavailable, ContactgateError, TopicsDiffer
from contactgate.names import SUBJECTS_CHANGELOG
from contactgate.policy.compiled import CompiledPolicy
from contactgate.policy.load import load_policy
from contactgate.registry import opener
from contactgate.settings import Settings, load_settings
from contactgate.topics import Layout, TopicAdmin, topic_specs

app = typer.Typer(add_completion=False, help="Run one worker: decide the partitions that are assigned to it.")

_PATIENCE_S = 60.0
"""A worker often starts together with its brokers, or while they are exchanged."""
_OLD_NAMES = {"CONTACTGATE_DEAD_LETTER_KEY": "CONTACTGATE_SEAL_KEY"}


@app.callback(invoke_without_command=True)
def worker(
    config: Annotated[Path | None, typer.Option(help="Settings file (YAML); the environment and options win.")] = None,
    bootstrap: Annotated[str, typer.Option(help="host:port[,host:port] of the cluster.")] = "",
    prefix: Annotated[str | None, typer.Option(help="Prefix of all topic names.")] = None,
    worker_id: Annotated[str | None, typer.Option(help="Name of this worker in metrics and alerts.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Directory of this worker's state, and of no other.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy in force until the first policy.activated.")] = None,
    pages_host: Annotated[str | None, typer.Option(help="Where /livez, /readyz and /metrics listen.")] = None,
    pages_port: Annotated[int | None, typer.Option(help="Their port; 0: no pages.")] = None,
    session_timeout: Annotated[float | None, typer.Option(help="Seconds until a dead worker is replaced.")] = None,
    event_time: Annotated[
        bool, typer.Option("--event-time", help="Decide at the requests' own time (replays).")
    ] = False,
) -> None:
    """Run one worker until SIGTERM or SIGINT; the running transaction is finished first."""
    given: dict[str, Any] = {
        "prefix": prefix,
        "worker_id": worker_id,
        "state_dir": state_dir,
        "policy_file": policy,
        "pages_host": pages_host,
        "pages_port": pages_port,
        "session_timeout_s": session_timeout,
        "clock": "event" if event_time else None,
    }
    try:
        settings = _settings(config, bootstrap, given)
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        _start(settings)
    except ContactgateError as error:
        fail(str(error))


def _settings(config: Path | None, bootstrap: str, given: dict[str, Any]) -> Settings:
    """The file, the environment, then the options."""
    environment = dict(os.environ)
    for old, new in _OLD_NAMES.items():
        for suffix in ("", "_FILE"):
            if old + suffix in environment:
                environment.setdefault(new + suffix, environment[old + suffix])
    for name, value in given.items():
        if value is not None:
            environment[f"CONTACTGATE_{name.upper()}"] = str(value)
    unnamed = "CONTACTGATE_BOOTSTRAP" not in environment and (config is None or "KAFKA_BOOTSTRAP" in environment)
    if bootstrap or unnamed:
        environment["CONTACTGATE_BOOTSTRAP"] = bootstrap_of(bootstrap)
    return load_settings(config, environment)


def _installation(settings: Settings) -> tuple[Layout, str, str]:
    """The layout, the cluster's id and the changelog's; brokers that do not answer are waited for."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with TopicAdmin(settings.bootstrap, client_config=settings.security().client_options()) as admin:
                return _layout(settings, admin), *admin.identity(settings.prefix + SUBJECTS_CHANGELOG)
        except BrokerUnavailable as error:
            if time.monotonic() > deadline:
                raise
            logging.getLogger(__name__).warning("%s; trying again", error)
            time.sleep(1.0)


def _layout(settings: Settings, admin: TopicAdmin) -> Layout:
    """The installation's layout; TopicsDiffer unless every topic is as it must be."""
    observed = admin.observed(settings.prefix)
    if observed is None:
        raise TopicsDiffer(
            f"there are no topics with the prefix {settings.prefix!r} at {settings.bootstrap}; "
            "create them with `contactgate topics create`"
        )
    if "partitions" in settings.model_fields_set and observed.partitions != settings.partitions:
        raise TopicsDiffer(
            f"the topics have {observed.partitions} partitions and the settings say {settings.partitions}; "
            "correct the settings, for the partition count never changes once there is data"
        )
    layout = Layout(
        settings.prefix,
        observed.partitions,
        observed.requesters,
        observed.replication,
        event_time=settings.clock == "event",
    )
    admin.require(topic_specs(layout))
    return layout


def _policy(settings: Settings) -> CompiledPolicy | None:
    if settings.policy_file is None:
        return None
    try:
        return load_policy(settings.policy_file.read_bytes())
    except OSError as error:
        raise ContactgateError(f"the policy file cannot be read: {error.strerror}") from error


def _pages_port(settings: Settings) -> int:
    """The configured port; when it is only the default and another worker of this host has it, any free one."""
    if "pages_port" in settings.model_fields_set or settings.pages_port == 0:
        return settings.pages_port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.pages_host, settings.pages_port))
            return settings.pages_port
        except OSError:
            pass
    with socket.socket() as probe:
        probe.bind((settings.pages_host, 0))
        return int(probe.getsockname()[1])


def _start(settings: Settings) -> None:
    from contactgate.engine import app as faust_app
    from contactgate.engine.compose import Secrets, build_worker
    from contactgate.engine.settings import EngineSettings

    secrets = Secrets(Tokens(settings.tokens_key()), Sealer(settings.sealing_key()))
    policy = _policy(settings)
    # Before the first client: at DEBUG kafka-python writes its whole configuration, the password in it.
    for noisy in ("aiokafka", "faust", "mode", "kafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    layout, cluster_id, topic_id = _installation(settings)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    engine = EngineSettings.from_settings(
        settings,
        partitions=layout.partitions,
        cluster_id=cluster_id,
        changelog_topic_id=topic_id,
        pages_port=_pages_port(settings),
    )
    logging.getLogger(__name__).info(
        "worker %s: %d partitions, state in %s, pages on port %d",
        engine.worker_id, engine.partitions, engine.state_dir, engine.pages_port,
    )  # fmt: skip
    open_list = opener(settings.registry_dir, secrets.tokens, settings.state_dir / "registries")
    faust_app.run(engine, lambda: build_worker(engine, secrets, policy=policy, open_list=open_list))
