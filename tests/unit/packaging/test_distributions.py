"""What a release uploads: the sdist, the wheel that is built from it, and that wheel installed apart from this tree.

Nothing is fetched: the build runs in this environment, and the installation sees this environment's dependencies but
not its contactgate.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

import contactgate

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "decide"
VERSION = contactgate.__version__
pytestmark = pytest.mark.slow
FROM_THE_KEY = ("approval_id", "approval_ref", "subject_token", "policy", "prev", "hash")


class Built(NamedTuple):
    """Where the unpacked sdist and the wheel lie."""

    source: Path
    wheel: Path


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints that must end well, without this repository on its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist of this tree, and the wheel of that sdist: what is missing in the one cannot be in the other."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    run("tar", "--extract", "--file", f"contactgate-{VERSION}.tar.gz", cwd=folder)
    source = folder / f"contactgate-{VERSION}"
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=source)
    return Built(source, folder / f"contactgate-{VERSION}-py3-none-any.whl")


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel, and with the dependencies (alone) of this one."""
    place = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=place.parent)
    install = ("install", "--quiet", "--no-deps", "--no-index", "--no-compile", built.wheel)
    run(sys.executable, "-m", "pip", "--python", place / "bin" / "python", *install, cwd=place.parent)
    purelib = run(place / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place)
    # A folder named in a .pth file is searched last, and its own .pth files (our editable install) are not read.
    Path(purelib.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return place / "bin"


def shipped() -> set[str]:
    """Every file of the package in this tree."""
    package = ROOT / "src"
    return {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_is_the_package_and_nothing_else(built: Built) -> None:
    """Every module, the marker of types, packs, policies and the broker's files; no test, no tool, no document."""
    with zipfile.ZipFile(built.wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith(f"contactgate-{VERSION}.dist-info/")}
    assert names == shipped()
    assert {
        "contactgate/py.typed", "contactgate/policy/packs/us-fed.yaml", "contactgate/demo/policy.yaml",
        "contactgate/broker/pom.xml", "contactgate/cli/main.py", "contactgate/engine/kafka/transactor.py",
    } <= names  # fmt: skip


def test_the_wheel_carries_version_links_and_the_license(built: Built) -> None:
    """What an index shows comes from the metadata: version, links, Python, every dependency; the license is a file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(built.wheel) as archive:
        info = f"contactgate-{VERSION}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        assert b"contactgate = contactgate.cli.main:app" in archive.read(f"{info}/entry_points.txt")
    assert f"\nVersion: {VERSION}\n" in metadata
    assert f"\nRequires-Python: {project['requires-python']}\n" in metadata
    assert all(f"\nProject-URL: {name}, {url}\n" in metadata for name, url in project["urls"].items())
    told = {str(Requirement(line)) for line in re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)}
    assert {str(Requirement(wanted)) for wanted in project["dependencies"]} <= told


def test_the_sdist_carries_what_its_reader_needs(built: Built) -> None:
    """Sources, tests, schemas, documents, the lock and the license are in it; nothing that a machine made is."""
    for name in ("src", "tests", "schemas", "docs", "examples", "tools"):
        assert (built.source / name).is_dir(), name
    for name in ("pyproject.toml", "requirements.lock", "Makefile", "README.md", "CHANGELOG.md", "LICENSE"):
        assert (built.source / name).read_bytes() == (ROOT / name).read_bytes(), name
    assert {path.name for path in (built.source / "schemas").rglob("*.json")} == {
        path.name for path in (ROOT / "schemas").rglob("*.json")
    }
    made = [path for path in built.source.rglob("*") if path.suffix in {".pyc", ".key", ".pem", ".log", ".sst"}]
    assert made == []


def test_the_installed_package_is_the_wheels(installed: Path) -> None:
    """The next test would prove nothing if this repository answered: the wheel does, with its version and its types."""
    code = (
        "import importlib.metadata, json, pathlib, contactgate\n"
        "package = pathlib.Path(contactgate.__file__).parent\n"
        "version = importlib.metadata.version('contactgate')\n"
        "print(json.dumps([str(package), version, (package / 'py.typed').is_file()]))\n"
    )
    package, version, typed = json.loads(run(installed / "python", "-c", code, cwd=installed))
    assert Path(package).is_relative_to(installed.parent)
    assert (version, typed) == (VERSION, True)


def test_the_installed_command_decides(installed: Path, tmp_path: Path) -> None:
    """`contactgate decide` gives what lies beside the example; `packs list` finds the data of the package."""
    out = tmp_path / "decisions.jsonl"
    run(
        installed / "contactgate", "decide", "--policy", EXAMPLE / "house.yaml", EXAMPLE / "events.jsonl",
        "--out", out, cwd=tmp_path,
    )  # fmt: skip
    made, wanted = (
        [{k: v for k, v in json.loads(line).items() if k not in FROM_THE_KEY} for line in path.read_text().splitlines()]
        for path in (out, EXAMPLE / "expected.jsonl")
    )
    assert made == wanted
    assert "us-fed" in run(installed / "contactgate", "packs", "list", cwd=tmp_path)


def test_the_installed_command_lists_every_command(installed: Path, tmp_path: Path) -> None:
    """The command line starts and knows its commands without a broker, a policy or a setting."""
    from contactgate.cli.main import COMMANDS

    shown = run(installed / "contactgate", "--help", cwd=tmp_path)
    assert all(f" {name} " in shown for name in COMMANDS)
