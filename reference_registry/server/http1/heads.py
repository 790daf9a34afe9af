"""Response heads as bytes. No I/O."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

__all__ = ["BadMessage", "head", "head_end", "undated_head"]


class BadMessage(Exception):
    """The application's response cannot be sent as HTTP/1.1."""


def head(status: int, headers: Iterable[tuple[bytes, bytes]], *, last: bool) -> bytes:
    """Status line, headers, date and the empty line. With *last*, the connection closes after the
    response (RFC 9112, 9.6). Raises :class:`BadMessage`."""
    return undated_head(status, headers) + head_end(last=last)


def undated_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Everything before the :func:`head_end`.

    Raises :class:`BadMessage` for a header that contains a line break or NUL (RFC 9110, 5.5).
    """
    return b"".join((_status_line(status), *map(_line, headers)))


def head_end(*, last: bool = False) -> bytes:
    """The ``Date`` header of this second, ``Connection: close`` if *last*, and the empty line."""
    return _date(int(time.time())) + (b"Connection: close\r\n\r\n" if last else b"\r\n")


@lru_cache(maxsize=256)
def _line(header: tuple[bytes, bytes]) -> bytes:
    line = b"%b: %b" % header
    if b"\n" in line or b"\r" in line or b"\0" in line:
        raise BadMessage("a header contains a line break or NUL")
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
