"""Prints the lowest version of every dependency that pyproject.toml allows, as constraints for pip.

For `make lowest`: a lower bound that no test ever ran with is a guess. Must never name a package index.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_BOUNDED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<version>[0-9][0-9A-Za-z.]*)(?:,<[0-9.]+)?")


def lowest(requirements: list[str]) -> list[str]:
    """`name==version` for each `name>=version`. Raises ValueError for one without a lower bound."""
    found = []
    for requirement in requirements:
        bounded = _BOUNDED.fullmatch(requirement)
        if bounded is None:
            raise ValueError(f"{requirement}: a dependency needs one lower bound, as name>=version")
        found.append(f"{bounded['name']}=={bounded['version']}")
    return found


def main() -> int:
    """Print the constraints of the package's own dependencies, one a line."""
    print("\n".join(lowest(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
