"""What can go wrong between the proxy and its upstream.

::

    UpstreamFailure
      UpstreamOffline        nothing was asked: the cache is offline
      UpstreamRefused        upstream answered, with a status that is no success
      UpstreamUnreachable    no answer came: name, connection, TLS, no credentials to send,
                             redirects that lead nowhere
        UpstreamTimedOut     ... within the time allowed
      UpstreamBroken         an answer came that cannot be used: cut short, wrong bytes, a redirect
                             to where we do not go
      NoToken                one of these, when upstream's token server was asked

What a client is told about each is decided in ``proxy.answers`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reference_registry.proxy.upstream.challenge import Challenge

__all__ = [
    "NoToken",
    "Refusal",
    "UpstreamBroken",
    "UpstreamFailure",
    "UpstreamOffline",
    "UpstreamRefused",
    "UpstreamTimedOut",
    "UpstreamUnreachable",
]


class UpstreamFailure(Exception):
    """Upstream did not give what was asked for. ``str()`` is fit for a log: it names the request
    without query and credentials."""


class UpstreamOffline(UpstreamFailure):
    """Upstream was not asked, because this cache is to get along by itself."""


@dataclass(frozen=True)
class Refusal:
    """An answer of upstream that is no success."""

    status: int
    reason: str
    """The reason phrase, such as ``Too Many Requests``."""
    body: bytes = b""
    """Its beginning; empty for HEAD."""
    media_type: str = ""
    """Its Content-Type without parameters, lower case."""
    retry_after: str | None = None
    challenges: tuple[Challenge, ...] = ()
    broken: str | None = None
    """Why its body ended before its end, if it did."""


class UpstreamRefused(UpstreamFailure):
    """Upstream answered with a status outside of 2xx."""

    def __init__(self, request: str, refusal: Refusal) -> None:
        super().__init__(f"{request}: upstream answered {refusal.status} {refusal.reason}".rstrip())
        self.request = request
        self.refusal = refusal

    @property
    def status(self) -> int:
        """The status of upstream's answer."""
        return self.refusal.status


class UpstreamUnreachable(UpstreamFailure):
    """No answer came that is not a redirect. ``method``, ``url`` and ``cause`` are what Go's
    ``url.Error`` consists of."""

    def __init__(self, method: str, url: str, cause: str) -> None:
        super().__init__(f"{method} {url}: {cause}")
        self.method = method
        self.url = url
        self.cause = cause


class UpstreamTimedOut(UpstreamUnreachable):
    """No answer, or no further byte of one, came in time."""


class UpstreamBroken(UpstreamFailure):
    """An answer came that cannot be used. ``cause`` is all that releases say of it, or its
    ``struct``, where Go marshals more than that it is an error."""

    def __init__(
        self, message: str, cause: str | None = None, struct: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.struct = struct or {}
        self.cause = message if cause is None else cause


class NoToken(UpstreamFailure):
    """A request was not sent, because the token server did not give what to send with it: *why*.

    Go's client takes that for a failure of the request itself, so that releases neither look at the
    token server's status nor try another request.
    """

    def __init__(self, method: str, url: str, why: UpstreamFailure) -> None:
        super().__init__(f"{method} {url}: {why}")
        self.method = method
        self.url = url
        self.why = why
