"""Byte ranges and conditional requests: the decisions, without the bytes.

RFC 9110, sections 13 and 14; or, for the releases of distribution, what Go's ``http.ServeContent``
does, which serves their blobs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reference_registry.http.messages import Request

_SPEC = re.compile(r"[ \t]*([0-9]*)[ \t]*-[ \t]*([0-9]*)[ \t]*")
_MAX_RANGES = 64
"""A header with more parts is not an honest request."""


class RangeRefused(ValueError):
    """The response is 416. The text is that of Go."""

    overlaps: bool
    """False if no range overlaps the content, whose size the client then needs to know."""

    def __init__(self, *, overlaps: bool) -> None:
        super().__init__("invalid range" if overlaps else "invalid range: failed to overlap")
        self.overlaps = overlaps


class _SyntaxInvalid(ValueError):
    """The header is not a byte range."""


@dataclass(frozen=True)
class ByteRange:
    """``length`` bytes from ``start``."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The value of ``Content-Range`` for content of *size* bytes."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def wanted_ranges(
    request: Request, etag: str, size: int, *, as_go: bool = False
) -> tuple[ByteRange, ...]:
    """The satisfiable ranges that *request* asks for, of content with *etag* (quoted) and *size*,
    in its order.

    Empty if the client gets the whole content: it asks for none, its copy has another etag, or
    the ranges together are larger than the content (RFC 9110, 14.2 allows that; Go does it).
    RFC 9110 also ignores a range of HEAD and one with a syntax error; Go does not.
    Raises :class:`RangeRefused`.
    """
    header = request.header("range")
    if not header or request.header("if-range") not in {None, etag}:
        return ()
    if request.method != "GET" and not as_go:
        return ()
    try:
        return _parse(header, size, as_go=as_go)
    except _SyntaxInvalid:
        if as_go:
            raise RangeRefused(overlaps=True) from None
        return ()


def _parse(header: str, size: int, *, as_go: bool) -> tuple[ByteRange, ...]:
    unit, equals, specs = header.partition("=")
    named = [spec for spec in specs.split(",") if spec.strip(" \t")]
    if unit != "bytes" or not equals or len(named) > _MAX_RANGES:
        raise _SyntaxInvalid
    found = [_parse_spec(spec, size, as_go) for spec in named]
    ranges = tuple(each for each in found if each is not None)
    if named and not ranges:
        raise RangeRefused(overlaps=False)
    return ranges if sum(each.length for each in ranges) <= size else ()


def _parse_spec(spec: str, size: int, as_go: bool) -> ByteRange | None:
    """One ``first-last``, ``first-`` or ``-suffix``; None if it is outside the content."""
    match = _SPEC.fullmatch(spec)
    if match is None or match.groups() == ("", ""):
        raise _SyntaxInvalid
    first, last = (_position(text, as_go) if text else None for text in match.groups())
    if first is None:
        length = min(last or 0, size)
        return ByteRange(size - length, length) if length else None
    start = first
    if last is not None and last < start:
        if as_go:
            raise _SyntaxInvalid
        # Invalid by RFC 9110, 14.1.1, but the OCI conformance suite expects 416.
        raise RangeRefused(overlaps=False)
    if start >= size:
        return None
    end = size - 1 if last is None else min(last, size - 1)
    return ByteRange(start, end - start + 1)


def _position(digits: str, as_go: bool) -> int:
    """The number that *digits* are, or a larger one than any size. Python refuses to read more than
    4300 of them, Go what exceeds 63 bits."""
    digits = digits.lstrip("0")
    if as_go and (len(digits) > 19 or int(digits or "0") >= 1 << 63):
        raise _SyntaxInvalid
    return int(digits[:32] or "0")


def etag_matches(header: str, etag: str, *, weak: bool = True) -> bool:
    """Whether a list of entity tags such as ``If-None-Match`` sends names *etag* (quoted) or is
    ``*``; by weak comparison unless *weak* is false (RFC 9110, 8.8.3.2)."""
    if header.strip() == "*":
        return True
    tags = [tag.strip() for tag in header.split(",")]
    return etag in tags or (weak and f"W/{etag}" in tags)


def precondition_status(request: Request, etag: str) -> int | None:
    """304 or 412 if the conditions of *request* on *etag* (quoted) decide the response."""
    if_match = request.header("if-match")
    if if_match is not None and not etag_matches(if_match, etag, weak=False):
        return 412
    if_none_match = request.header("if-none-match")
    if if_none_match is not None and etag_matches(if_none_match, etag):
        return 304
    return None
