"""A protected cluster: SCRAM, and PLAIN over TLS, from `contactgate topics create` to one decision of a worker."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka.admin import KafkaAdminClient, UserScramCredentialUpsertion
from tests.kit.wire import Wire

from contactgate.broker.cluster import ready_install
from contactgate.broker.node import Node, Voter, free_ports
from contactgate.demo.population import Population

PASSWORD = "canary-right-password"
WRONG = "canary-wrong-password"
SECRETS = {"CONTACTGATE_TOKEN_KEY": "canary-token-key-" + "t" * 20, "CONTACTGATE_SEAL_KEY": "canary-seal-" + "s" * 20}
WITHOUT_ANSWER = (("topics", "check"), ("worker",), ("publish", "-"), ("tail", "decisions"))
MODULES = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Protected:
    """A node with a plain listener (for the test itself), one with SCRAM and one with PLAIN over TLS."""

    plain: str
    scram: str
    tls: str
    ca: Path

    def settings(self, kind: str, password: str = PASSWORD) -> dict[str, str]:
        """The environment of an operator for the listener `scram` or `tls`."""
        scram = kind == "scram"
        chosen = {
            "CONTACTGATE_BOOTSTRAP": self.scram if scram else self.tls,
            "KAFKA_BOOTSTRAP": self.scram if scram else self.tls,
            "CONTACTGATE_SECURITY_PROTOCOL": "SASL_PLAINTEXT" if scram else "SASL_SSL",
            "CONTACTGATE_SASL_MECHANISM": "SCRAM-SHA-256" if scram else "PLAIN",
            "CONTACTGATE_SASL_USERNAME": "gate",
            "CONTACTGATE_SASL_PASSWORD": password,
        }
        return chosen if scram else {**chosen, "CONTACTGATE_TLS_CA_FILE": str(self.ca)}


def _certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and a PEM key store that holds it with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    ca, store = directory / "ca.pem", directory / "store.pem"
    ca.write_bytes(pem)
    store.write_bytes(private + pem)
    return ca, store


@pytest.fixture(scope="module")
def protected() -> Iterator[Protected]:
    """An own node: the session's broker stays as it is, and KAFKA_BOOTSTRAP names no such cluster."""
    with tempfile.TemporaryDirectory(prefix="contactgate-protected-") as name:
        ca, store = _certificate(Path(name))
        port, controller, scram, tls = free_ports(4)
        listeners = f"PLAINTEXT://127.0.0.1:{port},SCRAM://127.0.0.1:{scram},TLS://127.0.0.1:{tls}"
        overrides = {
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_PLAINTEXT,TLS:SASL_SSL"
            ),
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "listener.name.scram.scram-sha-256.sasl.jaas.config": f"{MODULES}.scram.ScramLoginModule required;",
            "listener.name.tls.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.tls.plain.sasl.jaas.config": (
                f'{MODULES}.plain.PlainLoginModule required user_gate="{PASSWORD}";'
            ),
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.location": str(store),
        }
        me = Voter(1, port, controller)
        node = Node(ready_install(), Path(name) / "node-1", me, (me,), "TWdhdGVwcm90ZWN0ZWQwMQ", overrides=overrides)
        try:
            node.finish_format(node.format())
            node.launch()
            node.wait_ready(frozenset({1}))
            admin = KafkaAdminClient(bootstrap_servers=[node.bootstrap])
            told = admin.alter_user_scram_credentials([UserScramCredentialUpsertion("gate", "SCRAM-SHA-256", PASSWORD)])
            admin.close()
            assert told == {"gate": None}
            yield Protected(node.bootstrap, f"127.0.0.1:{scram}", f"127.0.0.1:{tls}", ca)
        finally:
            node.stop()


def _run(environment: dict[str, str], *words: str, stdin: bytes = b"") -> tuple[int, str]:
    """Exit status and all output of `contactgate …` as a process."""
    command = [sys.executable, "-c", "from contactgate.cli.main import app; app()", *words]
    done = subprocess.run(
        command,
        env={**os.environ, **SECRETS, **environment},
        input=stdin,
        capture_output=True,
        check=False,
        timeout=300,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("kind", ["scram", "tls"])
def test_a_worker_decides_on_a_protected_cluster(protected: Protected, kind: str, tmp_path: Path) -> None:
    """The same settings make topics, check them, publish a request, and let a worker get ready and decide it."""
    environment = protected.settings(kind)
    prefix = ("--prefix", f"{kind}-")
    status, said = _run(environment, "topics", "create", "--partitions", "1", *prefix)
    assert status == 0, said
    status, said = _run(environment, "topics", "check", *prefix)
    assert status == 0, said
    (port,) = free_ports(1)
    command = [
        sys.executable, "-c", "from contactgate.cli.main import app; app()", "worker", *prefix,
        "--state-dir", str(tmp_path / "state"), "--pages-port", str(port), "--session-timeout", "6",
    ]  # fmt: skip
    policy = Path(__file__).parents[2] / "src" / "contactgate" / "demo" / "policy.yaml"
    population = Population(3, 5, time.time_ns() // 1_000_000)
    request = next(step.routed.value for step in population.stream(1, 1.0) if step.request_id is not None)
    log = tmp_path / "worker.log"
    with log.open("wb") as out:
        worker = subprocess.Popen(
            command,
            env={**os.environ, **SECRETS, **environment, "CONTACTGATE_LOG_LEVEL": "DEBUG"},
            stdout=out,
            stderr=out,
        )
        try:
            status, said = _run(environment, "publish", "-", "--policy", str(policy), *prefix, stdin=request + b"\n")
            assert status == 0, said
            with Wire(protected.plain) as wire:
                (decision,) = wire.consume(f"{kind}-contact-decisions", count=1)
            assert _ready(port)
            worker.terminate()
            assert worker.wait(90) == 0
        finally:
            worker.kill()
            worker.wait()
    assert json.loads(decision.value or b"")["request_id"] == json.loads(request)["request_id"]
    assert "canary" not in log.read_text()


def test_a_wrong_password_is_refused_in_clear_words_without_showing_it(protected: Protected) -> None:
    """Every kind of command ends with status 1, names the settings to check, and never prints the password."""
    tries = [(protected.settings(kind, WRONG), words) for kind in ("scram", "tls") for words in WITHOUT_ANSWER]
    with ThreadPoolExecutor(len(tries)) as threads:  # each waits for the whole 15 seconds
        ended = list(threads.map(lambda each: _run(each[0], *each[1]), tries))
    for status, said in ended:
        assert status == 1
        assert re.search(r"error: .*check security_protocol, .*sasl_\*.*tls_\*", said)
        assert "canary" not in said


def test_an_unusable_certificate_file_is_named_before_anything_connects(protected: Protected) -> None:
    """A CA file that is not there is told as such, not as a broker that does not answer."""
    status, said = _run({**protected.settings("tls"), "CONTACTGATE_TLS_CA_FILE": "/nowhere/ca.pem"}, "topics", "check")
    assert status == 1
    assert "error: the TLS files cannot be used" in said
    assert "Traceback" not in said


def _ready(port: int) -> bool:
    limit = time.monotonic() + 90
    while time.monotonic() < limit:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.1)
    return False
