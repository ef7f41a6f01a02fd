"""A hook of mkdocs: links of docs/ that lead into the repository point to the forge on the site.

The pages are read in two places: on the forge, where `../CONTRIBUTING.md` works, and on the site, which has only docs/.
Used by mkdocs.yml alone; must never touch a link that stays inside docs/.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any, Final

_LINK: Final = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """The page's text with every link out of docs/ made absolute."""
    return rewritten(markdown, page.file.src_uri, str(config.repo_url))


def rewritten(markdown: str, page: str, repository: str) -> str:
    """The text of docs/`page`, whose links out of docs/ become links to files of the repository."""
    folder = posixpath.join("docs", posixpath.dirname(page))

    def link(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found[2]))
        if ":" in found[2] or found[2].startswith("/") or path.startswith("docs/"):
            return found[0]
        return f"{found[1]}{repository.rstrip('/')}/blob/main/{path}{found[3] or ''}{found[4]}"

    return _LINK.sub(link, markdown)
