"""What the app asks of client authentication, health checks, metrics and the access log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reference_registry.http.errors import UNAUTHORIZED, RegistryError
from reference_registry.http.messages import Request

__all__ = [
    "Access",
    "AuthenticationBroken",
    "Authenticator",
    "Background",
    "Exchange",
    "HealthGate",
    "Observer",
    "Panic",
    "unauthorized",
]


@dataclass(frozen=True)
class Access:
    """One thing that a request wants to do, in the words of a token's ``access`` claim."""

    type: str
    """``repository`` or ``registry``."""
    name: str
    action: str
    """``pull``, ``push``, ``delete`` or ``*``."""

    def detail(self) -> dict[str, str]:
        """How distribution lists it in the ``detail`` of a 401."""
        return {"Type": self.type, "Class": "", "Name": self.name, "Action": self.action}


class AuthenticationBroken(Exception):
    """The authenticator itself does not work, as with an unreadable htpasswd file. The client gets
    503, or 400 with an empty body as from distribution."""


class Panic(Exception):
    """A fault of a release that Go ends by a panic of the handler: the connection is cut, without
    an answer where none has begun (``net/http``)."""


class Background(Protocol):
    """A part that must be started before the first request, and stopped after the last."""

    async def start(self) -> None:
        """Raises :class:`reference_registry.config.problem.CannotStart`."""
        ...

    async def stop(self) -> None:
        """Also called for a part that was never started."""
        ...


class Authenticator(Protocol):
    """Client authentication."""

    async def authenticate(self, request: Request, access: Sequence[Access]) -> str | None:
        """The user who makes *request*. Raises :func:`unauthorized` where there is none who may,
        or :class:`AuthenticationBroken`."""
        ...


def unauthorized(challenge: str, access: Sequence[Access]) -> RegistryError:
    """401 with *challenge* as ``WWW-Authenticate``."""
    detail = [record.detail() for record in access] or None
    return UNAUTHORIZED(detail).with_headers(("Www-Authenticate", challenge))


class HealthGate(Protocol):
    """Asked before every request."""

    def failing(self) -> Mapping[str, str]:
        """The checks that fail, with their errors. While there is one, every request is 503."""
        ...


@dataclass(frozen=True)
class Exchange:
    """A request that has been answered, or whose client has left."""

    request: Request
    handler: str | None
    """distribution's name of the resource (``manifest``, ``blob``, ...); None for other paths."""
    status: int
    """As sent; 499 where the client left before there was an answer."""
    sent: int
    """Body bytes handed to the server."""
    received: int
    """Request body bytes that were read."""
    started: datetime
    seconds: float
    """From the request's arrival to the last byte handed over."""
    complete: bool
    """False where the body broke off or the client left."""


class Observer(Protocol):
    """Metrics or the access log. Must be quick and must not raise."""

    def wants(self, status: int) -> bool:
        """Whether it wants to be notified of a complete response with *status*."""
        ...

    def started(self, request: Request, handler: str | None) -> None:
        """A request has arrived."""
        ...

    def finished(self, exchange: Exchange) -> None:
        """It is over; called once for each :meth:`started`."""
        ...
