"""For the site: links that leave docs/, which the site has no page for, become plain text.

Where the pages are read beside the sources, these links lead to files. So a link to a file that is
not there is still an error, as is, by MkDocs itself, one to a page that is missing in docs/.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks.links")

FENCED = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\(([^()\s#]+)(#[^()\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """The page's text without the links that lead out of docs/."""
    docs = Path(config.docs_dir).resolve()
    here = Path(page.file.abs_src_path).resolve().parent

    def inside(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if "://" in link[2] or link[2].startswith("mailto:") or target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            log.warning("%s: there is no %s", page.file.src_uri, link[2])
        return link[1]

    parts = FENCED.split(markdown)
    parts[::2] = [LINK.sub(inside, text) for text in parts[::2]]
    return "".join(parts)
