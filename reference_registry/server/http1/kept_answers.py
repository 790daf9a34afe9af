"""Responses that are sent again to a client that sends the same bytes.

A hundred nodes that pull one image send identical requests. A response that may be repeated is
kept under the bytes of its request, so that a repeat costs no parsing and no handler. Before each
repeat, ``still_valid`` asks whether the response would be the same now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reference_registry.server.http1.heads import head_end
from reference_registry.storage.filesystem import LruCache

__all__ = ["KeptAnswers", "StillValid"]

_LIMIT = 8 << 20
"""Bytes of requests and responses together."""

Client = tuple[str, int] | None
"""Address and port."""

StillValid = Callable[[Client], bool]
"""Whether that client would get the same response now. If true, the request has also been counted
and logged; if false, nothing has happened."""


@dataclass(frozen=True)
class _KeptAnswer:
    head: bytes
    """Status line and headers, without the date."""
    body: bytes
    still_valid: StillValid


class KeptAnswers:
    """The kept responses of one server, shared by its connections."""

    def __init__(self) -> None:
        self._kept: LruCache[bytes, _KeptAnswer] = LruCache(_LIMIT)

    def keep(self, request: bytes, head: bytes, body: bytes, still_valid: StillValid) -> None:
        """Keep the response to the whole *request*: *head* (from ``undated_head``) and *body*."""
        size = len(request) + len(head) + len(body)
        self._kept.keep(request, _KeptAnswer(head, body, still_valid), size)

    def answer(self, request: bytes, client: Client) -> bytes | None:
        """The complete response to *request*, or None if a handler has to make it."""
        kept = self._kept.get(request)
        if kept is None:
            return None
        if not kept.still_valid(client):
            self._kept.forget(request)
            return None
        return b"".join((kept.head, head_end(), kept.body))
