"""Lists that come in pages, as clients follow them (RFC 8288: ``Link`` with ``rel="next"``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

from harness.http.client import Answer
from harness.targets.registry import RunningRegistry

_NEXT = re.compile(r'<([^>]+)>; *rel="?next"?')


def next_page(page: Answer) -> str | None:
    """The path of the page after *page*; None after the last one, or without a valid Link."""
    link = _NEXT.fullmatch(page.headers.get("Link", ""))
    return link[1] if link else None


def pages(registry: RunningRegistry, path: str) -> Iterator[Answer]:
    """All pages from *path* on."""
    following: str | None = path
    while following is not None:
        page = registry.get(following)
        yield page
        link = next_page(page)
        following = None if link is None else urljoin(following, link)
