"""The rule of tools/check_modules.py about arguments without names."""

from pathlib import Path

import pytest
from tools.check_modules import BYTE_LAYOUTS, MAX_POSITIONAL, faults

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("count", "refused"), [(MAX_POSITIONAL, False), (MAX_POSITIONAL + 1, True)])
def test_many_values_are_passed_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, refused: bool
) -> None:
    """One argument more than the limit is a fault, told with its line; in tests and by name it is none."""
    monkeypatch.chdir(tmp_path)
    placed, named = ", ".join("0" * count), ", ".join(f"a{n}=0" for n in range(count + 1))
    text = f'"""Says what it is for."""\n\nmade({placed})\nmade({named})\n'
    for root in ("src", "tests"):
        Path(root).mkdir()
        Path(root, "one.py").write_text(text, encoding="utf-8")
    found = faults(Path("src/one.py"))
    assert [fault.partition(": ")[0] for fault in found] == (["src/one.py:3"] if refused else [])
    assert faults(Path("tests/one.py")) == []


def test_the_exempt_layouts_exist() -> None:
    """A file that was moved does not leave an exemption behind."""
    assert all((ROOT / path).is_file() for path in BYTE_LAYOUTS)
