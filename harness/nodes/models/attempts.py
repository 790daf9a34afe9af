"""The record of a modelled client: every request or connection attempt, with its reason."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.nodes.models.network import ClientRequest, ClientResponse, Failure

__all__ = [
    "ANONYMOUS",
    "Attempt",
    "ClientRun",
    "Login",
    "PullStep",
    "SentCredential",
    "credential_of",
]


@dataclass(frozen=True)
class Login:
    """A user and a secret. An identity token is a secret without a user."""

    user: str = ""
    secret: str = field(default="", repr=False)
    origin: str = "no login"
    """Where it comes from, for users."""


ANONYMOUS = Login()


PullStep = Literal["resolve", "fetch", "push", "token", "ping"]


@dataclass(frozen=True)
class SentCredential:
    """The content of an Authorization header. Its repr hides the secret."""

    kind: Literal["none", "basic", "bearer", "other"] = "none"
    user: str = ""
    secret: str = field(default="", repr=False)
    """Password, token, or the whole header of an unknown kind."""

    def __str__(self) -> str:
        return f"basic:{self.user}" if self.kind == "basic" else self.kind


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One request or connection attempt."""

    step: PullStep
    method: str
    scheme: str
    host: str
    """With its port if the URL names one."""
    path: str
    ns: str | None
    credential: SentCredential
    because: str
    status: int | None = None
    """None if there was no answer or its body was truncated."""
    failure: Failure | None = None
    cut: bool = False
    """The body ended before its stated length."""
    lane: str = ""
    """Requests of different lanes (one for each blob) run concurrently, in any order; requests
    without a lane run alone."""
    query: tuple[tuple[str, str], ...] = ()
    form: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    client_certificate: str | None = None
    """The file whose certificate the server accepted."""
    seconds: float = 0.0
    """Time that the client waits for an answer that never comes, or before a retry."""

    @classmethod
    def at(
        cls,
        step: PullStep,
        request: ClientRequest,
        response: ClientResponse | None,
        failure: Failure | None,
        because: str,
        *,
        ns: str | None = None,
        lane: str = "",
        query: tuple[tuple[str, str], ...] | None = None,
        headers: Mapping[str, tuple[str, ...]] | None = None,
        seconds: float = 0.0,
    ) -> Attempt:
        """The attempt for *request* with its *response* or *failure*. *query* replaces the query of
        the request."""
        cut = response is not None and response.cut
        return cls(
            step=step,
            method=request.method,
            scheme=request.scheme,
            host=request.host,
            path=request.path,
            ns=ns,
            credential=credential_of(request.header("Authorization")),
            because=because,
            status=None if response is None or cut else response.status,
            failure=failure,
            cut=cut,
            lane=lane,
            query=request.query if query is None else query,
            form=request.form,
            headers=headers or {},
            client_certificate=None if response is None else response.client_certificate,
            seconds=seconds,
        )

    @property
    def received(self) -> bool:
        """Whether the server received the request."""
        return self.failure is None or self.failure.reaches_server


class ClientRun:
    """Everything a modelled client did, from first request to end. A base of dataclasses."""

    attempts: tuple[Attempt, ...]
    error: object | None

    @property
    def message(self) -> str | None:
        """The error as the user sees it; None if there is none."""
        return None if self.error is None else str(self.error)

    @property
    def seconds_lost(self) -> float:
        """Time spent waiting for hosts that never answer, and before retries."""
        return sum(attempt.seconds for attempt in self.attempts)

    @property
    def outcome(self) -> Literal["ok", "error"]:
        """Whether the run succeeded."""
        return "ok" if self.error is None else "error"

    @property
    def received(self) -> tuple[Attempt, ...]:
        """The requests that a server received."""
        return tuple(attempt for attempt in self.attempts if attempt.received)


def credential_of(authorization: str | None) -> SentCredential:
    """The credential in an Authorization header."""
    if authorization is None:
        return SentCredential()
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return SentCredential("bearer", secret=rest)
    if scheme.lower() == "basic":
        try:
            user, _, secret = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return SentCredential("other", secret=authorization)
        return SentCredential("basic", user, secret)
    return SentCredential("other", secret=authorization)
