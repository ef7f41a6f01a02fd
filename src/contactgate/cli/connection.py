"""How a command finds the broker and the operator's keys, and how it says what went wrong. Starts nothing itself."""

from __future__ import annotations

import os
import ssl
import sys
from typing import Annotated, Any, NoReturn

import typer

from contactgate import broker
from contactgate.client.routing import Tokeniser
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


def tokeniser() -> Tokeniser | None:
    """Turns an address into the gate's keyed tokens when the token key is configured; None when it is not."""
    found = settings()
    return None if found.token_key is None else Tokens(found.tokens_key()).suppressed


def client_config() -> dict[str, Any]:
    """How kafka-python reaches a protected cluster, by the environment; nothing for a plain one."""
    try:
        return client_options(settings())
    except ContactgateError as error:
        fail(str(error))


def client_options(found: Settings) -> dict[str, Any]:
    """kafka-python's options for these settings. Raises ContactgateError when the TLS files cannot be used."""
    options: dict[str, Any] = {}
    if found.security_protocol != "PLAINTEXT":
        options["security_protocol"] = found.security_protocol
    if found.security_protocol.startswith("SASL") and found.sasl_password is not None:
        options["sasl_mechanism"] = found.sasl_mechanism
        options["sasl_plain_username"] = found.sasl_username
        options["sasl_plain_password"] = found.sasl_password.get_secret_value()
    if (context := tls_context(found)) is not None:
        options["ssl_context"] = context
    return options


def tls_context(found: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer with names checked; None without TLS. Raises ContactgateError when the files cannot be used."""
    if found.security_protocol not in {"SSL", "SASL_SSL"}:
        return None
    try:
        context = ssl.create_default_context(cafile=str(found.tls_ca_file) if found.tls_ca_file else None)
        if found.tls_certificate_file is not None:
            context.load_cert_chain(str(found.tls_certificate_file), str(found.tls_key_file))
    except (OSError, ssl.SSLError) as error:
        raise ContactgateError(f"the TLS files cannot be used, correct tls_*_file: {error}") from error
    return context
