"""The ``Range`` header of one request. Pure. RFC 9110, section 14."""

from __future__ import annotations

import re

__all__ = ["Unsatisfiable", "parse_range"]

_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class Unsatisfiable(ValueError):
    """The range lies outside of the content: 416."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The ``[start, stop)`` that *header* asks of *size* bytes.

    None means the whole: no header, one that is not understood, or several ranges, which a server
    may ignore (14.2). Raises :class:`Unsatisfiable`.
    """
    match = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, stop = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        if match[2] and int(match[2]) < start:
            return None  # "invalid", not "unsatisfiable" (14.1.1)
        stop = min(size, int(match[2]) + 1) if match[2] else size
    if start >= stop:
        raise Unsatisfiable(header)
    return start, stop
