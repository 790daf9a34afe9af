"""The record of a modelled client: every request, or try at a connection, with its reason."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.mirrors.network import Failure

__all__ = ["Attempt", "Credential", "Step", "credential_of"]

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

    @property
    def received(self) -> bool:
        """Whether the server got to read the request."""
        return self.failure is None or self.failure.reaches_server


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
