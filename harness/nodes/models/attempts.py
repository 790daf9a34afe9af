"""The record of a modelled client: every request, or try at a connection, with its reason."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.nodes.models.network import Failure, Request, Response

__all__ = ["ANONYMOUS", "Attempt", "ClientRun", "Credential", "Login", "Step", "credential_of"]


@dataclass(frozen=True)
class Login:
    """A user and a secret. An identity token is a secret without a user."""

    user: str = ""
    secret: str = field(default="", repr=False)
    origin: str = "nobody"
    """Where it comes from, in words for the reader."""


ANONYMOUS = Login()


Step = Literal["resolve", "fetch", "push", "token", "ping"]


@dataclass(frozen=True)
class Credential:
    """What a request's Authorization header holds. Printing it shows no secret."""

    kind: Literal["none", "basic", "bearer", "other"] = "none"
    user: str = ""
    secret: str = field(default="", repr=False)
    """Password, token, or the whole header of an unknown kind."""

    def __str__(self) -> str:
        return f"basic:{self.user}" if self.kind == "basic" else self.kind


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One request, or one try at a connection."""

    step: Step
    method: str
    scheme: str
    host: str
    """With its port if the URL names one."""
    path: str
    ns: str | None
    credential: Credential
    because: str
    status: int | None = None
    """None if there was no answer, or if its body was cut short."""
    failure: Failure | None = None
    cut: bool = False
    """The body ended before its stated length."""
    lane: str = ""
    """Requests of different lanes (one for each blob) run at the same time, in any order; those
    without a lane run alone."""
    query: tuple[tuple[str, str], ...] = ()
    form: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    client_certificate: str | None = None
    """The file whose certificate the server accepted."""
    seconds: float = 0.0
    """How long the client waits for what never comes."""

    @classmethod
    def at(
        cls,
        step: Step,
        request: Request,
        response: Response | None,
        failure: Failure | None,
        because: str,
        *,
        ns: str | None = None,
        lane: str = "",
        query: tuple[tuple[str, str], ...] | None = None,
        headers: Mapping[str, tuple[str, ...]] | None = None,
        seconds: float = 0.0,
    ) -> Attempt:
        """*request*, with the *response* or the *failure* that became of it. *query* is that of the
        request unless given."""
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
        """Whether the server got to read the request."""
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
        """Whether the caller got what it asked for."""
        return "ok" if self.error is None else "error"

    @property
    def received(self) -> tuple[Attempt, ...]:
        """The requests that a server saw."""
        return tuple(attempt for attempt in self.attempts if attempt.received)


def credential_of(authorization: str | None) -> Credential:
    """What an Authorization header says."""
    if authorization is None:
        return Credential()
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return Credential("bearer", secret=rest)
    if scheme.lower() == "basic":
        try:
            user, _, secret = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return Credential("other", secret=authorization)
        return Credential("basic", user, secret)
    return Credential("other", secret=authorization)
