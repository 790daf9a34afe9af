"""Byte ranges and conditional requests: the decisions, without the bytes.

RFC 9110, sections 13 and 14; where the profile says ``go``, what Go's ``http.ServeContent`` does,
which is behind the blob answers of every release of distribution.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reference_registry.http.messages import Request

__all__ = [
    "ByteRange",
    "InvertedRange",
    "RangeNotSatisfiable",
    "RangeSyntaxError",
    "etag_matches",
    "parse_range",
    "precondition_status",
]

_SPEC = re.compile(r"[ \t]*([0-9]*)[ \t]*-[ \t]*([0-9]*)[ \t]*")
_MAX_RANGES = 64
"""More parts than this in one header are no honest request."""


class RangeSyntaxError(ValueError):
    """The header is not a byte range; RFC 9110, 14.2 has it ignored."""


class InvertedRange(RangeSyntaxError):
    """A range ends before it begins. RFC 9110, 14.1.1 calls it invalid, but the OCI conformance
    suite wants a 416 and not the whole content."""


class RangeNotSatisfiable(ValueError):
    """No range of the header overlaps the content: 416."""


@dataclass(frozen=True)
class ByteRange:
    """``length`` bytes from ``start``."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The value of ``Content-Range`` for content of *size* bytes."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def parse_range(header: str, size: int) -> tuple[ByteRange, ...]:
    """The satisfiable ranges of a ``Range`` header for content of *size* bytes, in its order.

    Empty where the whole content is the better answer: nothing was named, or the ranges together
    are larger than the content (RFC 9110, 14.2 allows to ignore them; Go does).
    Raises :class:`RangeSyntaxError` and :class:`RangeNotSatisfiable`.
    """
    unit, equals, specs = header.partition("=")
    if unit != "bytes" or not equals:
        raise RangeSyntaxError(header)
    named = [spec for spec in specs.split(",") if spec.strip(" \t")]
    if len(named) > _MAX_RANGES:
        raise RangeSyntaxError(header)
    ranges = tuple(found for spec in named if (found := _parse_spec(spec, size)) is not None)
    if named and not ranges:
        raise RangeNotSatisfiable(header)
    return ranges if sum(r.length for r in ranges) <= size else ()


def _parse_spec(spec: str, size: int) -> ByteRange | None:
    """One ``first-last``, ``first-`` or ``-suffix``; None where it lies outside the content."""
    match = _SPEC.fullmatch(spec)
    if match is None or match.groups() == ("", ""):
        raise RangeSyntaxError(spec)
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        return ByteRange(size - length, length) if length else None
    start = int(first)
    if last and int(last) < start:
        raise InvertedRange(spec)
    if start >= size:
        return None
    end = min(int(last), size - 1) if last else size - 1
    return ByteRange(start, end - start + 1)


def etag_matches(header: str, etag: str, *, weak: bool = True) -> bool:
    """Whether a list of entity tags such as ``If-None-Match`` sends names *etag* (quoted) or is
    ``*``; by weak comparison unless *weak* is false (RFC 9110, 8.8.3.2)."""
    if header.strip() == "*":
        return True
    tags = [tag.strip() for tag in header.split(",")]
    return etag in tags or (weak and f"W/{etag}" in tags)


def precondition_status(request: Request, etag: str) -> int | None:
    """304 or 412 where the request's conditions on *etag* (quoted) decide the answer, else None."""
    if_match = request.header("if-match")
    if if_match is not None and not etag_matches(if_match, etag, weak=False):
        return 412
    if_none_match = request.header("if-none-match")
    if if_none_match is not None and etag_matches(if_none_match, etag):
        return 304
    return None
