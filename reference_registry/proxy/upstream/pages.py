"""The ``Link`` header that leads to the next page of a list (RFC 8288; OCI distribution-spec,
"Listing Tags"). It comes from upstream and is read as hostile input."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["next_link"]

_LINK = re.compile(r"[ \t,]*<([^<>]*)>((?:[ \t]*;[^,<]*)*)")
_REL_NEXT = re.compile(r""";[ \t]*rel[ \t]*=[ \t]*(?:"(?:[^"]*[ \t])?next(?:[ \t][^"]*)?"|next)""")
_LONGEST_HEADER = 16 * 1024


def next_link(lines: Iterable[str]) -> str | None:
    """The target of the first link with the relation ``next``, or None."""
    for line in lines:
        if len(line) > _LONGEST_HEADER:
            continue
        position = 0
        while match := _LINK.match(line, position):
            if _REL_NEXT.search(match[2]):
                return match[1]
            position = match.end()
    return None
