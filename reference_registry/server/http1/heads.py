"""The head of an answer as bytes. No I/O."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

__all__ = ["BadMessage", "ending", "head", "undated_head"]


class BadMessage(Exception):
    """An answer that cannot be sent as it is."""


def head(status: int, headers: Iterable[tuple[bytes, bytes]], *, last: bool) -> bytes:
    """Status line and headers, with a date, and the empty line after them. *last*: the connection
    ends after the answer (RFC 9112, 9.6). Raises :class:`BadMessage`."""
    return undated_head(status, headers) + ending(last=last)


def undated_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """All but the :func:`ending`.

    Raises :class:`BadMessage` where a header would bring lines of its own, wherever its value came
    from (RFC 9110, 5.5).
    """
    return b"".join((_status_line(status), *map(_line, headers)))


def ending(*, last: bool = False) -> bytes:
    """What ends a head that is sent now."""
    return _date(int(time.time())) + (b"Connection: close\r\n\r\n" if last else b"\r\n")


@lru_cache(maxsize=256)
def _line(header: tuple[bytes, bytes]) -> bytes:
    line = b"%b: %b" % header
    if b"\n" in line or b"\r" in line or b"\0" in line:
        raise BadMessage("a header with a line break in it")
    return line + b"\r\n"


@lru_cache(maxsize=64)
def _status_line(status: int) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    return f"HTTP/1.1 {status} {reason}\r\n".encode("ascii")


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode("ascii")
