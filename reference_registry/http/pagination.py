"""Cutting sorted lists into pages.

OCI distribution-spec, "Listing Tags": ``n`` entries after ``last``; the next page is named by a
``Link`` header with ``rel="next"`` (RFC 8288).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from reference_registry.profiles import Profile


@dataclass(frozen=True)
class TagPage:
    """One page of ``tags/list``. ``next`` is the ``last=`` of the following page, or None."""

    tags: tuple[str, ...] | None
    """None is sent as JSON ``null``, as distribution does for some empty lists."""
    next: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """More response headers, such as ``Warning`` on a stale list."""


def page(
    names: Sequence[str],
    n: int | None,
    last: str | None,
    *,
    key: Callable[[str], str] = str,
) -> tuple[Sequence[str], str | None]:
    """At most *n* of *names* after *last*, and the ``last`` of the page that follows. *names* are
    sorted by *key*."""
    start = bisect_right(names, key(last), key=key) if last else 0
    if n is None or len(names) - start <= n:
        return names[start:], None
    chosen = names[start : start + n]
    return chosen, chosen[-1] if chosen else None


def tag_page(names: Sequence[str], n: int | None, last: str | None, profile: Profile) -> TagPage:
    """A page of the sorted tag *names*, with the quirks of *profile*."""
    if not profile.paginates_tags:
        n = last = None
    if last and profile.tags_skip_when_last_unknown:
        start = bisect_left(names, last) + 1
        chosen, following = page(names[start:], n, None)
    else:
        chosen, following = page(names, n, last)
    if n and len(chosen) == n and profile.tags_link_on_exact_page:
        following = chosen[-1]
    # n=0 asks for an empty list and always gets one.
    if not chosen and n != 0 and profile.empty_tags == "null":
        return TagPage(None)
    return TagPage(tuple(chosen), following)


def next_link(path: str, **query: str | int | None) -> tuple[str, str]:
    """The ``Link`` header to the page that *query* names; *path* is what was asked, without a
    query. Parameters that are None are left out."""
    given = {name: value for name, value in sorted(query.items()) if value is not None}
    return ("Link", f'<{path}?{urlencode(given)}>; rel="next"')
