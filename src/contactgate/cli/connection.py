"""How a command finds the broker and the operator's keys, and how it says what went wrong. Starts nothing itself."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from contactgate import broker
from contactgate.codec.tokens import Tokens
from contactgate.errors import ContactgateError, SettingsError
from contactgate.settings import Settings, load_settings

BootstrapOption = Annotated[
    str,
    typer.Option(
        help="host:port[,host:port] of the cluster; default: KAFKA_BOOTSTRAP, else the running `contactgate dev kafka`."
    ),
]
PrefixOption = Annotated[str, typer.Option(help="Prefix of all topic names.", envvar="CONTACTGATE_PREFIX")]


def fail(message: str) -> NoReturn:
    """Say what was wrong and what to do, and end with status 1."""
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(1)


def bootstrap_of(option: str) -> str:
    """The cluster to talk to: the option, KAFKA_BOOTSTRAP, or the broker that `contactgate dev kafka` runs."""
    chosen = option or os.environ.get("KAFKA_BOOTSTRAP", "") or _running_dev_kafka()
    if not chosen:
        fail("no broker is named; use --bootstrap, set KAFKA_BOOTSTRAP, or start one with `contactgate dev kafka up`")
    return chosen


def _running_dev_kafka() -> str:
    found = broker.status()
    return found.bootstrap if found.running else ""


def settings() -> Settings:
    """What the environment says (`CONTACTGATE_TOKEN_KEY_FILE`, `CONTACTGATE_SASL_USERNAME`, …), as for a worker."""
    try:
        return load_settings(None, os.environ)
    except SettingsError as error:
        fail(str(error))


def tokens() -> Tokens | None:
    """The gate's keyed tokens when the token key is configured; None when it is not."""
    found = settings()
    return None if found.token_key is None else Tokens(found.tokens_key())


def client_config() -> dict[str, Any]:
    """How kafka-python reaches the cluster, by the environment."""
    try:
        return settings().security().client_options()
    except ContactgateError as error:
        fail(str(error))
