"""Answers as values, before anything is sent.

The head says how the body is framed and the wire obeys it: with ``Transfer-Encoding: chunked`` the
body goes out in chunks, with ``Content-Length`` as it is, with neither until the connection closes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.content import CHUNK, Blob
from harness.upstream.calls import Headers

__all__ = ["NO_BODY", "Body", "Reply", "error_reply", "json_reply"]


@dataclass(frozen=True)
class Body:
    """The part ``[start, stop)`` of a blob; ``corrupt`` makes all bytes wrong ones."""

    blob: Blob
    start: int = 0
    stop: int | None = None
    corrupt: bool = False

    @property
    def size(self) -> int:
        """In bytes."""
        return (self.blob.size if self.stop is None else self.stop) - self.start

    def chunks(self, start: int, stop: int, piece: int = CHUNK) -> Iterator[bytes | memoryview]:
        """The bytes ``[start, stop)`` of this body, at most *piece* at a time."""
        for chunk in self.blob.chunks(self.start + start, self.start + stop):
            view = memoryview(chunk)
            for offset in range(0, len(view), piece):
                part = view[offset : offset + piece]
                # Every bit the other way round, so that no part of the content is right.
                yield bytes(part).translate(_FLIPPED) if self.corrupt else part


_FLIPPED = bytes(range(255, -1, -1))


NO_BODY = Body(Blob(b""))


@dataclass(frozen=True)
class Reply:
    """One answer: status, header lines in order, body."""

    status: int
    headers: Headers = ()
    body: Body = NO_BODY

    def header(self, name: str) -> str | None:
        """The first header line called *name*, in whatever case, or None."""
        return next((v for key, v in self.headers if key.lower() == name.lower()), None)

    def with_headers(self, changes: Mapping[str, str | None]) -> Reply:
        """The same answer with each header of *changes* set, or dropped if it is None."""
        names = {name.lower() for name in changes}
        kept = tuple(line for line in self.headers if line[0].lower() not in names)
        new = tuple((name, value) for name, value in changes.items() if value is not None)
        return replace(self, headers=kept + new)


def json_reply(
    status: int, document: Any, headers: Headers = (), *, media_type: str = "application/json"
) -> Reply:
    """*document* as the body."""
    body = Body(Blob(json.dumps(document, separators=(",", ":")).encode()))
    head = (("Content-Type", media_type), ("Content-Length", str(body.size)), *headers)
    return Reply(status, head, body)


def error_reply(
    status: int, code: str, message: str, detail: Any = None, headers: Headers = ()
) -> Reply:
    """An error body as in OCI distribution-spec, section "Error Codes"."""
    entry = {"code": code, "message": message}
    return json_reply(
        status, {"errors": [entry if detail is None else entry | {"detail": detail}]}, headers
    )
