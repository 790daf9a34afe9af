"""What can go wrong between the proxy and its upstream.

::

    UpstreamFailure
      UpstreamOffline        no request was sent: the cache is offline
      UpstreamRefused        upstream answered with an error status
      UpstreamUnreachable    no answer came: name, connection, TLS, no credentials to send,
                             redirects without a target
        UpstreamTimedOut     ... within the time allowed
      UpstreamBroken         an unusable answer: cut short, wrong bytes, a redirect to a forbidden
                             target
      NoToken                one of these, when upstream's token server was asked

``proxy.errors`` alone decides what a client gets for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reference_registry.proxy.upstream.challenge import Challenge


class UpstreamFailure(Exception):
    """Upstream did not deliver. ``str()`` is safe to log: it names the request without query and
    credentials."""


class UpstreamOffline(UpstreamFailure):
    """Upstream was not asked, because the cache is offline."""


@dataclass(frozen=True)
class Refusal:
    """An error response from upstream."""

    status: int
    reason: str
    """The reason phrase, such as ``Too Many Requests``."""
    body: bytes = b""
    """The first bytes of it; empty for HEAD."""
    media_type: str = ""
    """Its Content-Type without parameters, lower case."""
    retry_after: str | None = None
    challenges: tuple[Challenge, ...] = ()
    broken: str | None = None
    """Why the body was cut short, if it was."""


class UpstreamRefused(UpstreamFailure):
    """Upstream answered with a status other than 2xx."""

    def __init__(self, request: str, refusal: Refusal) -> None:
        super().__init__(f"{request}: upstream answered {refusal.status} {refusal.reason}".rstrip())
        self.request = request
        self.refusal = refusal

    @property
    def status(self) -> int:
        """The status of upstream's answer."""
        return self.refusal.status


class UpstreamUnreachable(UpstreamFailure):
    """No answer came, except redirects. ``method``, ``url`` and ``cause`` are the parts of Go's
    ``url.Error``."""

    def __init__(self, method: str, url: str, cause: str) -> None:
        super().__init__(f"{method} {url}: {cause}")
        self.method = method
        self.url = url
        self.cause = cause


class UpstreamTimedOut(UpstreamUnreachable):
    """No answer, or no further byte of it, came in time."""


class UpstreamBroken(UpstreamFailure):
    """An unusable answer. Releases show ``cause`` to their clients, or ``struct`` if Go marshals
    the error as more than an empty object."""

    def __init__(
        self, message: str, cause: str | None = None, struct: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.struct = struct or {}
        self.cause = message if cause is None else cause


class NoToken(UpstreamFailure):
    """A request was not sent, because the token server failed with *why*.

    Go's client takes that for a failure of the request itself, so that releases neither look at the
    token server's status nor try another request.
    """

    def __init__(self, method: str, url: str, why: UpstreamFailure) -> None:
        super().__init__(f"{method} {url}: {why}")
        self.method = method
        self.url = url
        self.why = why
