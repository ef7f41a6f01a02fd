"""Fails when a module has no docstring, is too long, has a name that says nothing, or passes many values by place.

A module over 500 lines has more than one subject; one named `utils` has none. Two of eight arguments without names are
swapped before anybody sees it. Must never change a file.
"""

import ast
import sys
from pathlib import Path

MAX_LINES = 500
MEANINGLESS = {"base", "common", "helper", "helpers", "misc", "util", "utils"}
ROOTS = ("src", "tools", "tests", "bench")
MAX_POSITIONAL = 7
BYTE_LAYOUTS = {f"src/contactgate/codec/{name}.py" for name in ("state", "state_v1", "state_v2")}
"""Places where a field's number is what the code is about, and a decoder of every stored state."""


def faults(path: Path) -> list[str]:
    """Everything that is wrong with the module at `path`, one sentence each."""
    text = path.read_text(encoding="utf-8")
    found = []
    lines = text.count("\n")
    if lines > MAX_LINES:
        found.append(f"{path}: {lines} lines, at most {MAX_LINES} are allowed; split it by subject")
    if path.stem in MEANINGLESS:
        found.append(f"{path}: the name says nothing; name it for what it holds, or move the code to its first user")
    tree = ast.parse(text, filename=str(path))
    if path.name != "__init__.py" and ast.get_docstring(tree) is None:
        found.append(f"{path}: no module docstring; say what the module is for and what it must never do")
    if path.parts[0] == "src" and path.as_posix() not in BYTE_LAYOUTS:
        found += [
            f"{path}:{node.lineno}: {len(node.args)} arguments without a name; name them, or make a named constructor"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and len(node.args) > MAX_POSITIONAL
        ]
    if path.parts[0] == "tests":
        found += [
            f"{path}:{node.lineno}: {node.name} has no docstring; state the behaviour in one sentence"
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and ast.get_docstring(node) is None
        ]
    return found


def main() -> int:
    """Print every fault; 1 if there was one."""
    paths = sorted(path for root in ROOTS for path in Path(root).rglob("*.py"))
    found = [fault for path in paths for fault in faults(path)]
    print("\n".join(found) if found else f"{len(paths)} modules are fine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
