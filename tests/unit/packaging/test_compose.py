"""docker-compose.yml, as far as it can be checked without an engine: structure, references, options, settings."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contactgate.broker.install import MAIN_STORAGE, ensure_jars
from contactgate.cli.main import load
from contactgate.settings import ENVIRONMENT, Settings
from contactgate.topics import DEFAULT_PARTITIONS

ROOT = Path(__file__).parents[3]
SERVICE_KEYS = {
    "build", "command", "depends_on", "environment", "expose", "healthcheck", "image", "ports", "restart", "secrets",
    "stop_grace_period", "volumes",
}  # fmt: skip


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as compose reads it, anchors resolved."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def test_services_use_known_keys_and_pinned_images(compose: dict[str, Any]) -> None:
    """Every service has only keys that compose knows, and an image with a version or one built here."""
    for name, service in compose["services"].items():
        assert set(service) <= SERVICE_KEYS, name
        assert "build" in service or service["image"].rpartition(":")[2] not in {"", "latest"}, name


def test_references_resolve(compose: dict[str, Any]) -> None:
    """What a service depends on, mounts or reads as a secret is defined in the file or exists next to it."""
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", ())) <= set(compose["services"]), name
        assert set(service.get("secrets", ())) <= set(compose["secrets"]), name
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][other]
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).is_file(), (name, volume)


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    """Nothing without authentication can be reached from another machine."""
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


def test_prometheus_scrapes_every_worker(compose: dict[str, Any]) -> None:
    """The scrape targets are exactly the workers, on the port that they serve their pages on."""
    scrape = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"][0]
    workers = {name: s for name, s in compose["services"].items() if s.get("command", [""])[0] == "worker"}
    ports = {name: s["command"][s["command"].index("--pages-port") + 1] for name, s in workers.items()}
    assert len(workers) == 2
    assert set(scrape["static_configs"][0]["targets"]) == {f"{name}:{port}" for name, port in ports.items()}


def test_commands_and_options_exist(compose: dict[str, Any]) -> None:
    """Every command that a service runs exists and has the options that it is given."""
    for name, service in compose["services"].items():
        if "build" not in service:
            continue
        words = list(service["command"])
        command = load(words.pop(0))
        while words and words[0] in getattr(command, "commands", ()):
            command = command.commands[words.pop(0)]
        command.make_context(name, words, resilient_parsing=False)


def test_environment_names_are_settings(compose: dict[str, Any]) -> None:
    """Every CONTACTGATE_ variable that a service sets is a setting, or the file of a secret one."""
    known = set(Settings.model_fields)
    for name, service in compose["services"].items():
        ours = {key for key in service.get("environment", {}) if key.startswith(ENVIRONMENT)}
        assert {key.removeprefix(ENVIRONMENT).lower().removesuffix("_file") for key in ours} <= known, name


def test_topics_are_created_with_the_default_partition_count(compose: dict[str, Any]) -> None:
    """The workers, which are given no partition count, find the one they expect."""
    words = compose["services"]["topics"]["command"]
    assert words[words.index("--partitions") + 1] == str(DEFAULT_PARTITIONS)


@pytest.mark.slow
def test_kafka_accepts_the_settings(compose: dict[str, Any], tmp_path: Path) -> None:
    """A real Kafka of the same version formats its storage with the settings that the service gives."""
    service = compose["services"]["kafka"]
    install = ensure_jars()
    assert service["image"].endswith(f":{install.root.name.split('-')[1]}")
    settings = {
        key.removeprefix("KAFKA_").lower().replace("_", "."): value for key, value in service["environment"].items()
    } | {"log.dirs": str(tmp_path / "data")}
    properties = tmp_path / "server.properties"
    properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    words = ("format", "--cluster-id", "TXlLYWZrYUNsdXN0ZXIwMQ", "--config", str(properties))
    done = subprocess.run(install.command(MAIN_STORAGE, *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unknown" not in done.stdout.lower()
