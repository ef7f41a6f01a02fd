"""Settings of a worker and of the commands: one file, the environment on top of it, secrets from files or environment.

Every setting may stand in the YAML file under its name, or in the environment as `CONTACTGATE_` and its name in
capitals; the environment wins. A secret may be given itself, or as `<name>_file`: a file that holds it. All faults are
reported at once with their place and never with a value. Must never log a setting or show a secret in a repr.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretBytes, SecretStr, ValidationError, model_validator

from contactgate.errors import ContactgateError, Fault, PolicyError, SettingsError
from contactgate.policy import reading

ENVIRONMENT: Final = "CONTACTGATE_"
_SECRETS: Final = ("token_key", "seal_key", "sasl_password")
_TITLE: Final = "the settings are wrong"

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class Security:
    """How to reach a protected cluster; `password` never shows in a repr."""

    protocol: str = "PLAINTEXT"  # PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
    mechanism: str | None = None  # PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; None: no SASL
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)  # with SSL and SASL_SSL

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments of every client: aiokafka and kafka-python call them the same."""
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self.ssl_context is not None:
            options["ssl_context"] = self.ssl_context
        if self.mechanism is not None:
            options["sasl_mechanism"] = self.mechanism
            options["sasl_plain_username"] = self.username
            options["sasl_plain_password"] = self.password
        return options


class Settings(BaseModel):
    """What an installation decides. Defaults fit one worker against a local broker."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    bootstrap: str = Field("127.0.0.1:9092", min_length=1, description="host:port, comma separated")
    prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]*$", max_length=100, description="of all topic names")
    app_id: str = Field(
        "contactgate", pattern=r"^[A-Za-z0-9._-]{1,100}$", description="consumer group and transactions"
    )
    worker_id: str = Field("worker", pattern=r"^[A-Za-z0-9._-]{1,100}$", description="name in metrics and alerts")
    instance_id: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,100}$", description="static group membership")
    partitions: Count = Field(8, description="of every subject topic; never changes once there is data")
    state_dir: Path = Field(Path("state"), description="of this worker alone")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    tls_ca_file: Path | None = Field(None, description="certificates that sign the brokers' ones; absent: the system's")
    tls_certificate_file: Path | None = Field(None, description="our own certificate")
    tls_key_file: Path | None = Field(None, description="its private key")

    token_key: SecretBytes | None = Field(
        None, description="at least 32 bytes; every address token and vendor token is derived from it"
    )
    seal_key: SecretBytes | None = Field(None, description="exactly 32 bytes, or 64 hex digits; seals dead letters")

    clock: Literal["wall", "event"] = Field(
        "wall", description="event: requests are decided at their own time (replays)"
    )
    policy_file: Path | None = Field(None, description="policy in force until the first policy.activated")
    registry_dir: Path | None = Field(None, description="where `file:` lists of registries may lie; absent: nowhere")
    batch: Count = Field(1_000, description="records in one transaction")
    linger_ms: Annotated[int, Field(ge=0)] = Field(15, description="between two transactions of a busy partition")
    cache: Count = Field(100_000, description="decoded subject states in memory, a partition")
    barrier_timeout_s: Seconds = Field(10.0, description="requests held longer for unread consents raise an alert")
    session_timeout_s: Seconds = Field(6.0, description="until a worker that is silent is replaced")
    accept_gap: bool = Field(False, description="go on although unread input was deleted; for one start")
    pages_host: str = Field("127.0.0.1", description="where the pages listen")
    pages_port: Port = Field(6066, description="health and metrics; 0: none")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="of the log on standard error")

    @model_validator(mode="after")
    def _fit(self) -> Settings:
        wrong: list[str] = []
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_mechanism and self.sasl_username and self.sasl_password
        ):
            wrong.append("SASL needs sasl_mechanism, sasl_username and sasl_password")
        if self.sasl_mechanism == "PLAIN" and self.security_protocol == "SASL_PLAINTEXT":
            wrong.append("PLAIN over SASL_PLAINTEXT sends the password in clear; use SASL_SSL or SCRAM")
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            wrong.append("give tls_certificate_file and tls_key_file together")
        if self.token_key is not None and len(self.token_key.get_secret_value()) < 32:
            wrong.append("token_key must have at least 32 bytes; make one with `openssl rand -hex 32`")
        if self.seal_key is not None and len(_raw(self.seal_key.get_secret_value())) != 32:
            wrong.append("seal_key must have exactly 32 bytes or 64 hex digits; make one with `openssl rand -hex 32`")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def sealing_key(self) -> bytes:
        """The 32 bytes that seal dead letters. Raises SettingsError when none is set."""
        if self.seal_key is None:
            raise SettingsError(_TITLE, (Fault("seal_key", "is needed here; set seal_key_file"),))
        return _raw(self.seal_key.get_secret_value())

    def tokens_key(self) -> bytes:
        """The bytes that key all tokens. Raises SettingsError when none is set."""
        if self.token_key is None:
            raise SettingsError(_TITLE, (Fault("token_key", "is needed here; set token_key_file"),))
        return self.token_key.get_secret_value()

    def security(self) -> Security:
        """How every client reaches the cluster. Raises ContactgateError when the TLS files cannot be used."""
        context = self._tls_context() if self.security_protocol in {"SSL", "SASL_SSL"} else None
        if not self.security_protocol.startswith("SASL") or self.sasl_password is None:
            return Security(self.security_protocol, ssl_context=context)
        password = self.sasl_password.get_secret_value()
        return Security(self.security_protocol, self.sasl_mechanism, self.sasl_username, password, context)

    def _tls_context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer with names checked."""
        try:
            context = ssl.create_default_context(cafile=str(self.tls_ca_file) if self.tls_ca_file else None)
            if self.tls_certificate_file is not None:
                context.load_cert_chain(str(self.tls_certificate_file), str(self.tls_key_file))
        except (OSError, ssl.SSLError) as error:
            raise ContactgateError(f"the TLS files cannot be used, correct tls_*_file: {error}") from error
        return context


def _raw(key: bytes) -> bytes:
    """A key given as hex digits, or as it is."""
    try:
        return bytes.fromhex(key.decode("ascii")) if len(key) == 64 else key
    except ValueError:
        return key


def load_settings(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """Settings of a file (None: none) and the environment. Raises SettingsError with every fault."""
    faults: list[Fault] = []
    found: dict[str, Any] = {}
    if file is not None:
        try:
            found.update(reading.read(file.read_bytes(), _TITLE))
        except OSError as error:
            faults.append(Fault("file", f"cannot be read: {error.strerror}"))
        except PolicyError as error:
            faults.extend(error.faults)
    known = {*Settings.model_fields, *(f"{name}_file" for name in _SECRETS)}
    for name in sorted(known):
        if (value := environment.get(ENVIRONMENT + name.upper())) is not None:
            found[name] = value
            if name in _SECRETS:
                found.pop(f"{name}_file", None)
    for name in _SECRETS:
        place = found.pop(f"{name}_file", None)
        if place is None:
            continue
        if name in found:
            faults.append(Fault(name, f"is given twice, as {name} and as {name}_file; keep one"))
            continue
        try:
            found[name] = Path(str(place)).read_bytes().strip()
        except OSError as error:
            faults.append(Fault(f"{name}_file", f"cannot be read: {error.strerror}"))
        except ValueError:  # a path cannot hold a zero character
            faults.append(Fault(f"{name}_file", "cannot be read: this is no path"))
    try:
        settings = Settings.model_validate(found)
    except ValidationError as error:
        faults.extend(
            Fault(".".join(str(part) for part in each["loc"]), each["msg"].removeprefix("Value error, ").lower())
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise SettingsError(_TITLE, tuple(faults)) from None
    if faults:
        raise SettingsError(_TITLE, tuple(faults))
    return settings
