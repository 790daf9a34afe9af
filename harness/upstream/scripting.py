"""The fluent way to write a fault: ``upstream.on("GET", blob).reset(after=1000).times(1)``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.upstream.faults import (
    Action,
    Chunked,
    Corrupt,
    Delay,
    Fault,
    FaultList,
    Hang,
    Raw,
    Redirect,
    Reset,
    SetHeaders,
    Status,
    Throttle,
    Truncate,
)

__all__ = ["FaultScript"]


class FaultScript:
    """One fault of an upstream, in force from its first action on.

    Every method returns the script itself, so that actions can be chained:
    ``.delay(0.2).status(503)``.
    """

    def __init__(self, faults: FaultList, fault: Fault) -> None:
        self._slot = faults.add(fault)

    @property
    def fault(self) -> Fault:
        """What has been scripted so far."""
        return self._slot.fault

    @property
    def hits(self) -> int:
        """How many requests have met this fault."""
        return self._slot.hits

    # -- the answer -----------------------------------------------------------------------------
    def status(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes | str = b""
    ) -> FaultScript:
        """Answer *status*, with *headers* and *body* and none of the usual ones."""
        content = body.encode() if isinstance(body, str) else body
        return self._act(Status(status, tuple((headers or {}).items()), content))

    def redirect(self, to: str, status: int = 307) -> FaultScript:
        """Send the client to the URL *to*; without a path, to the same path of that host."""
        return self._act(Redirect(to, status))

    def headers(self, changes: Mapping[str, str | None]) -> FaultScript:
        """Set headers of the answer anew; None drops one."""
        return self._act(SetHeaders(tuple(changes.items())))

    def chunked(self) -> FaultScript:
        """Send the body in chunks, without a Content-Length."""
        return self._act(Chunked())

    def corrupt(self) -> FaultScript:
        """Send wrong bytes of the right length."""
        return self._act(Corrupt())

    # -- the delivery ---------------------------------------------------------------------------
    def delay(self, seconds: float) -> FaultScript:
        """Begin to answer *seconds* late."""
        return self._act(Delay(seconds))

    def throttle(self, bytes_per_second: float) -> FaultScript:
        """Send the body at a limited rate."""
        return self._act(Throttle(bytes_per_second))

    def hang(self, after: int | None = None) -> FaultScript:
        """Fall silent after *after* bytes of the body, or before the head, until :meth:`release`,
        ``clear_faults`` or the end of the connection."""
        return self._act(Hang(after))

    def reset(self, after: int | None = None) -> FaultScript:
        """Reset the connection after *after* bytes of the body, or before the head."""
        return self._act(Reset(after))

    def truncate(self, after: int | None = None) -> FaultScript:
        """Close the connection after *after* bytes of the body, or before the head."""
        return self._act(Truncate(after))

    def raw(self, data: bytes) -> FaultScript:
        """Send *data*, whatever it is, instead of an answer, and close the connection."""
        return self._act(Raw(data))

    # -- when -----------------------------------------------------------------------------------
    def times(self, times: int | None) -> FaultScript:
        """At most *times* times; None is always."""
        return self._become(times=times)

    def then(self, state: str) -> FaultScript:
        """Put the upstream into *state* when a request meets this fault."""
        return self._become(next_state=state)

    def release(self) -> None:
        """End a :meth:`hang`: answers that wait go on, and later ones do not wait."""
        for action in self.fault.actions:
            if isinstance(action, Hang):
                action.gate.open()

    def _act(self, action: Action) -> FaultScript:
        return self._become(actions=(*self.fault.actions, action))

    def _become(self, **changes: object) -> FaultScript:
        self._slot.fault = replace(self._slot.fault, **changes)  # type: ignore[arg-type]
        return self
