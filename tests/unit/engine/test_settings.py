"""The operator's settings as the engine's: each is said in one place, has one default, and none is lost."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from contactgate.engine.app import _credentials
from contactgate.engine.settings import EngineSettings
from contactgate.errors import ContactgateError
from contactgate.settings import Security, Settings

SASL = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "gate", "sasl_password": "canary-password"}
OTHERWISE: dict[str, Any] = {
    "bootstrap": "kafka-1:9092",
    "prefix": "p-",
    "app_id": "another",
    "worker_id": "w2",
    "instance_id": "i2",
    "state_dir": Path("elsewhere"),
    "security_protocol": "SSL",
    "clock": "event",
    "batch": 7,
    "linger_ms": 7,
    "cache": 7,
    "barrier_timeout_s": 7.0,
    "session_timeout_s": 12.0,
    "accept_gap": True,
    "pages_host": "::1",
}
"""Another value of each setting that the engine uses by itself; those of SASL and TLS have tests of their own."""

FOUND = {"partitions", "pages_port"}
"""What the command line gives the engine as it found it: the topics' count, and a port that is free."""

NOT_THE_ENGINES = {"token_key", "seal_key", "policy_file", "registry_dir", "log_level"}


def _engine(settings: Settings) -> EngineSettings:
    return EngineSettings.from_settings(
        settings, partitions=8, cluster_id="", changelog_topic_id="", pages_port=settings.pages_port
    )


def test_a_default_is_the_same_in_both() -> None:
    """What an operator left out is what the engine takes when nobody says anything."""
    assert _engine(Settings()) == EngineSettings(bootstrap="127.0.0.1:9092", state_dir=Path("state"))


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_setting_reaches_the_engine(name: str) -> None:
    """Changing one changes the engine's."""
    assert _engine(Settings(**{name: OTHERWISE[name]})) != _engine(Settings())


def test_every_setting_is_the_engines_or_is_known_not_to_be() -> None:
    """A new setting that is forgotten on the way to the engine is found here."""
    told = {name for name in Settings.model_fields if name.startswith(("sasl_", "tls_"))}
    assert set(OTHERWISE) | told | FOUND | NOT_THE_ENGINES == set(Settings.model_fields)
    assert not set(OTHERWISE) & NOT_THE_ENGINES


def test_what_was_found_is_taken_as_it_is() -> None:
    """The partition count, the cluster and the port do not come from the settings."""
    made = EngineSettings.from_settings(
        Settings(partitions=4, pages_port=1), partitions=12, cluster_id="c", changelog_topic_id="t", pages_port=2
    )
    assert (made.partitions, made.cluster_id, made.changelog_topic_id, made.pages_port) == (12, "c", "t", 2)


@pytest.mark.parametrize(("session_s", "heartbeat_s"), [(1.0, 0.5), (6.0, 1.0), (12.0, 2.0), (60.0, 3.0)])
def test_heartbeats_follow_the_session(session_s: float, heartbeat_s: float) -> None:
    """Six in a session, no more often than twice a second and no more seldom than every three seconds."""
    assert _engine(Settings(session_timeout_s=session_s)).heartbeat_s == heartbeat_s


def test_credentials_are_the_same_for_every_client() -> None:
    """aiokafka, kafka-python and Faust get what was set, and no repr shows the password."""
    security = _engine(Settings(security_protocol="SASL_SSL", **SASL)).security
    assert security.client_options() == {
        "security_protocol": "SASL_SSL",
        "ssl_context": security.ssl_context,
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "gate",
        "sasl_plain_password": "canary-password",
    }
    faust = _credentials(security)
    assert (faust.protocol.value, faust.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-256")
    assert (faust.username, faust.password, faust.ssl_context) == ("gate", "canary-password", security.ssl_context)
    assert "canary" not in repr(security)


def test_names_are_checked_wherever_tls_is_on() -> None:
    """With SSL and SASL_SSL there is always a context, and it trusts nobody whose name it did not check."""
    context = Settings(security_protocol="SSL").security().ssl_context
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert Settings(security_protocol="SASL_PLAINTEXT", **SASL).security().ssl_context is None


@pytest.mark.parametrize("changes", [{}, SASL])
def test_a_plain_cluster_gets_no_credentials(changes: dict[str, str]) -> None:
    """A user name that was left in the settings is not sent to a cluster that does not ask for one."""
    security = Settings(**changes).security()
    assert security == Security()
    assert security.client_options() == {"security_protocol": "PLAINTEXT"}
    assert _credentials(security) is None


@pytest.mark.parametrize(
    "files",
    [{"tls_ca_file": "/nowhere/ca.pem"}, {"tls_certificate_file": "/nowhere/a.pem", "tls_key_file": "/nowhere/k.pem"}],
)
def test_tls_files_that_cannot_be_used_are_an_error_that_names_the_settings(files: dict[str, str]) -> None:
    """Before a client is made, and only where TLS is on."""
    settings = Settings(security_protocol="SSL", **files)
    with pytest.raises(ContactgateError, match=r"correct tls_\*_file"):
        settings.security()
    assert _engine(Settings(**files)) == _engine(Settings())
