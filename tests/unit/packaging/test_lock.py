"""requirements.lock: complete, hashed, and free of any package index."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from tools.lowest import lowest

ROOT = Path(__file__).parents[3]


def canonical(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(part: str) -> list[Requirement]:
    """What pyproject.toml asks for with its bounds: the package's `dependencies`, or those of an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = project["dependencies"] if part == "dependencies" else project["optional-dependencies"][part]
    return [Requirement(word) for word in words]


def locked() -> dict[str, str]:
    """Version of each locked package."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return {canonical(name): found for name, found in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def test_every_direct_dependency_is_locked() -> None:
    """A dependency added to pyproject.toml without `make lock` is found here, not on a fresh machine."""
    missing = {canonical(each.name) for each in (*requirements("dependencies"), *requirements("dev"))} - set(locked())
    assert not missing, f"run `make lock`: {sorted(missing)}"


def test_what_is_locked_and_what_is_installed_lie_within_the_bounds() -> None:
    """A bound that excludes the version it was tested with, or an environment that is not the locked one, is found."""
    versions, used = locked(), requirements("dependencies")
    found = [(each, versions[canonical(each.name)]) for each in (*used, *requirements("dev"))]
    found += [(each, version(each.name)) for each in used]
    for each, exact in found:
        assert exact in each.specifier, f"{each} excludes {exact}; run `make lock` or correct the bound"


def test_what_is_patched_has_an_upper_bound() -> None:
    """Of these three a part is replaced or relied on inside: no newer minor version is taken without a look at it."""
    bounds = {each.name: each.specifier for each in requirements("dependencies")}
    for name in ("aiokafka", "faust-streaming", "kafka-python"):
        major, minor = version(name).split(".")[:2]
        assert f"{major}.{int(minor) + 1}" not in bounds[name]


def test_every_locked_package_has_hashes_and_no_index_is_named() -> None:
    """What is installed is what was locked, wherever the machine gets its packages from."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^--", text, re.MULTILINE)
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        assert (
            not block.strip()
            or block.startswith("#")
            or re.match(r"[\w.-]+==\S+ \\\n +--hash=sha256:[0-9a-f]{64}", block)
        ), block[:80]


def test_every_dependency_has_a_lower_bound_that_the_lock_respects() -> None:
    """`make lowest` installs exactly these, so one without a bound is refused; what is locked is never older."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {canonical(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}
    pins = lowest(dependencies)
    assert len(pins) == len(dependencies)
    for name, pinned in (pin.split("==") for pin in pins):
        assert Version(locked[canonical(name)]) >= Version(pinned), name


@pytest.mark.parametrize(
    ("requirement", "pin"),
    [("a>=1", "a==1"), ("a-b.c>=1.2.3", "a-b.c==1.2.3"), ("a>=1.2,<3", "a==1.2"), ("a", None), ("a<2", None)],
)
def test_the_lowest_version_is_the_bound(requirement: str, pin: str | None) -> None:
    """The form of pyproject.toml's bounds, with and without an upper one; a guess is refused."""
    if pin is None:
        with pytest.raises(ValueError, match="lower bound"):
            lowest([requirement])
    else:
        assert lowest([requirement]) == [pin]


@pytest.mark.parametrize("target", ["unit", "check", "test", "lowest", "pythons", "demo"])
def test_the_targets_that_contributors_are_told_of_exist(target: str) -> None:
    """CONTRIBUTING.md or README.md names it, and the Makefile has it with a line of help."""
    pages = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "README.md"))
    assert f"make {target}" in pages
    assert re.search(rf"^{target}:.* ## \S", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
