"""The interfaces of client authentication, health checks, metrics and the access log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reference_registry.http.errors import UNAUTHORIZED, RegistryError
from reference_registry.http.messages import Request


@dataclass(frozen=True)
class Access:
    """A permission that a request needs, in the terms of a token's ``access`` claim."""

    type: str
    """``repository`` or ``registry``."""
    name: str
    action: str
    """``pull``, ``push``, ``delete`` or ``*``."""


class AuthenticationBroken(Exception):
    """The authenticator itself fails, for example if the htpasswd file cannot be read. The client
    gets 503, or 400 with an empty body as from distribution."""


class Panic(Exception):
    """A handler of a release panics: Go cuts the connection (``net/http``), and the client gets
    nothing more."""


class BackgroundWork(Protocol):
    """A part that starts before the first request and stops after the last."""

    async def start(self) -> None:
        """Raises :class:`reference_registry.config.problem.CannotStart`."""
        ...

    async def stop(self) -> None:
        """Also called for a part that was never started."""
        ...


class Authenticator(BackgroundWork, ABC):
    """Client authentication."""

    @abstractmethod
    async def authenticate(self, request: Request, access: Sequence[Access]) -> str | None:
        """The user who makes *request*. Raises :func:`unauthorized` if the user is missing or may
        not do that, or :class:`AuthenticationBroken`."""


def unauthorized(challenge: str, access: Sequence[Access]) -> RegistryError:
    """401 with *challenge* as ``WWW-Authenticate``; its detail is *access*, as in distribution."""
    detail = [
        {"Type": each.type, "Class": "", "Name": each.name, "Action": each.action}
        for each in access
    ] or None
    return UNAUTHORIZED(detail).with_headers(("Www-Authenticate", challenge))


class HealthGate(Protocol):
    """Asked before every request."""

    def failing(self) -> Mapping[str, str]:
        """The failing checks, with their errors. While there is one, every request gets 503."""
        ...


@dataclass(frozen=True)
class ObservedExchange:
    """A request that is over: its response was sent, or its client left."""

    request: Request
    handler: str | None
    """distribution's name of the resource (``manifest``, ``blob``, ...); None for other paths."""
    status: int
    """As sent; 499 if the client left before that."""
    sent: int
    """Body bytes handed to the server."""
    received: int
    """Request body bytes that were read."""
    started: datetime
    seconds: float
    """From the request's arrival to the last byte handed over."""
    complete: bool
    """False if the body broke off or the client left."""


class Observer:
    """Metrics or the access log. Must be quick and must not raise."""

    def wants(self, status: int) -> bool:
        """Whether to notify it of a complete response with *status*."""
        return True

    def started(self, request: Request, handler: str | None) -> None:
        """A request has arrived."""

    def finished(self, exchange: ObservedExchange) -> None:
        """It is over; called once for each :meth:`started`."""
