"""Answers that the same request gets again.

A hundred nodes that pull one image send the same bytes: same client program, same headers, same
target. What such a request was answered is kept by its bytes where it may be answered again, so
that neither is the request parsed nor the answer made anew. Whether it may is asked each time of
whoever made the answer; nothing is known here of what it means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reference_registry.server.http1.heads import ending
from reference_registry.storage.caches import LruCache

__all__ = ["Again", "Repeats"]

_BOUND = 8 << 20
"""Bytes of requests and answers together."""

Client = tuple[str, int] | None
"""Address and port."""

Again = Callable[[Client], bool]
"""Whether the request, made by that client now, gets the same answer. If so, it has been counted as
answered; if not, nothing has happened."""


@dataclass(frozen=True)
class _Repeat:
    head: bytes
    """Status line and headers, without the date."""
    body: bytes
    again: Again


class Repeats:
    """Of one server, for all its connections."""

    def __init__(self) -> None:
        self._known: LruCache[bytes, _Repeat] = LruCache(_BOUND)

    def keep(self, request: bytes, head: bytes, body: bytes, again: Again) -> None:
        """The bytes of a whole *request* were answered by *head* (as of ``undated_head``) and
        *body*, and are so for as long as *again* says."""
        self._known.keep(request, _Repeat(head, body, again), len(request) + len(head) + len(body))

    def answer(self, request: bytes, client: Client) -> bytes | None:
        """The answer to *request*, all of it; None where it has to be made."""
        known = self._known.get(request)
        if known is None:
            return None
        if not known.again(client):
            self._known.forget(request)
            return None
        return b"".join((known.head, ending(), known.body))
