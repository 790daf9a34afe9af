"""What a simulated pull did: every request with its reason, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.mirrors.containerd.plan import Plan
from harness.mirrors.network import Failure

__all__ = ["Attempt", "Credential", "Pull", "PullError"]


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

    step: Literal["resolve", "fetch", "push", "token"]
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


@dataclass(frozen=True)
class PullError:
    """How a pull failed, as its caller sees it."""

    message: str
    code: str | None = "UNKNOWN"
    """The gRPC status; None for ``ctr``, which has none."""
    host: str | None = None
    """The host whose failure is reported."""
    status: int | None = None
    """The status that is reported, if it is one."""


@dataclass(frozen=True)
class Pull:
    """A pull, or a push, from its first request to its end."""

    plan: Plan
    attempts: tuple[Attempt, ...] = ()
    error: PullError | None = None

    @property
    def outcome(self) -> Literal["ok", "error"]:
        """Whether the caller got what it asked for."""
        return "ok" if self.error is None else "error"

    @property
    def received(self) -> tuple[Attempt, ...]:
        """The requests that a server saw."""
        return tuple(attempt for attempt in self.attempts if attempt.received)

    @property
    def seconds_lost(self) -> float:
        """The time spent waiting for hosts that never answer."""
        return sum(attempt.seconds for attempt in self.attempts)
