"""How a simulated pull ended, and everything it did before."""

from __future__ import annotations

from dataclasses import dataclass

from harness.nodes.models.attempts import Attempt, Attempted
from harness.nodes.models.containerd.plan import Plan

__all__ = ["Pull", "PullError"]


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
class Pull(Attempted):
    """A pull, or a push, from its first request to its end."""

    plan: Plan
    attempts: tuple[Attempt, ...] = ()
    error: PullError | None = None
    """How it failed. Where lanes fail at the same time, the first of them."""
    possible_errors: tuple[PullError, ...] = ()
    """Every error that may be reported: chance decides between lanes that fail at the same time."""

    @property
    def seconds_lost(self) -> float:
        """The time spent waiting for hosts that never answer."""
        return sum(attempt.seconds for attempt in self.attempts)
