"""Fails when a news fragment or a commit's subject is not well-formed. Must never change a file.

    python tools/check_news.py                      the fragments in news/
    python tools/check_news.py --subject FILE       the subject of the commit message in a file (a commit-msg hook)
    python tools/check_news.py --subjects main..    the subjects of a range of commits

A fragment's form is described in news/README.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

NEWS: Final = Path(__file__).parents[1] / "news"
TYPES: Final = ("added", "changed", "removed", "fixed", "security")
NAME: Final = re.compile(rf"(\d+|\+[a-z0-9-]+)\.({'|'.join(TYPES)})\.md")
MOST: Final = 400
SUBJECT: Final = 72


def fragment_faults(path: Path) -> list[str]:
    """Everything that is wrong with one fragment, one sentence each."""
    text = path.read_text(encoding="utf-8").strip()
    found = []
    if not NAME.fullmatch(path.name):
        found.append(f"the name must be ISSUE.TYPE.md or +word.TYPE.md, and TYPE one of {', '.join(TYPES)}")
    if not text.endswith("."):
        found.append("write whole sentences, with a full stop at the end")
    if len(text) > MOST:
        found.append(f"{len(text)} characters, at most {MOST} are allowed; details belong in docs/")
    if re.search(r"^(#|- |\* )|\n\s*\n", text, re.MULTILINE):
        found.append("one paragraph, without a heading or a list")
    return [f"{path.name}: {fault}" for fault in found]


def subject_faults(subjects: Iterable[str]) -> list[str]:
    """Everything that is wrong with the subjects of commits."""
    found = []
    for subject in subjects:
        if len(subject) > SUBJECT:
            found.append(f"{len(subject)} characters, at most {SUBJECT} are allowed: {subject}")
        if subject.endswith("."):
            found.append(f"no full stop at the end of a subject: {subject}")
    return found


def main(arguments: list[str]) -> int:
    """Print every fault; 1 if there was one."""
    match arguments:
        case ["--subject", file]:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
            found = subject_faults(line for line in lines[:1] if not line.startswith(("Merge ", "Revert ")))
        case ["--subjects", commits]:
            log = subprocess.run(
                ["git", "log", "--no-merges", "--format=%s", commits], capture_output=True, text=True, check=True
            )
            found = subject_faults(log.stdout.splitlines())
        case _:
            found = [
                fault for path in sorted(NEWS.iterdir()) if path.name != "README.md" for fault in fragment_faults(path)
            ]
    print("\n".join(found) if found else "fine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
