"""Scripted faults: ``upstream.on("GET", blob).reset(after=1000).times(1)``.

A :class:`Fault` is a match and a tuple of actions, as data. Some actions change the answer (status,
headers, wrong bytes), others its delivery (late, never, cut off). A request meets the first fault
in the list that matches and is not used up, so that limited faults make a sequence: two 503, then
one reset, then normal answers.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlsplit

from harness.content import Blob
from harness.upstream.calls import Match, RegistryCall
from harness.upstream.replies import NO_BODY, Body, Cut, Hang, Reply


class Gate:
    """Closed until :meth:`open` is called, from any thread; then open for good."""

    def __init__(self) -> None:
        self._opened: Future[None] = Future()

    def open(self) -> None:
        """Let everyone pass who waits or comes later."""
        with suppress(InvalidStateError):
            self._opened.set_result(None)

    async def passed(self) -> None:
        """Return once the gate is open."""
        await asyncio.shield(asyncio.wrap_future(self._opened))


@dataclass(frozen=True)
class Action:
    """One thing that a fault does to an answer, described by ``text``."""

    text: str
    alter: Callable[[Reply, RegistryCall], Reply] = field(repr=False, compare=False)
    gate: Gate | None = field(default=None, repr=False, compare=False)


class Scripted(ABC):
    """The actions as methods that can be chained: ``.delay(0.2).status(503)``. They apply in the
    order in which they are called."""

    @abstractmethod
    def _act(self, action: Action) -> Self: ...

    def _set(self, text: str, gate: Gate | None = None, **changes: Any) -> Self:
        return self._act(Action(text, lambda reply, call: replace(reply, **changes), gate))

    # -- the answer -----------------------------------------------------------------------------
    def status(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes | str = b""
    ) -> Self:
        """Answer *status* with only these *headers* and this *body*."""
        content = body.encode() if isinstance(body, str) else body

        def alter(reply: Reply, call: RegistryCall) -> Reply:
            head = {"Content-Length": str(len(content))}
            if content:
                head["Content-Type"] = "application/json"
            plain = replace(reply, status=status, headers=(), body=Body(Blob(content)))
            return plain.with_headers(head).with_headers(headers or {})

        return self._act(Action(f"status {status}", alter))

    def redirect(self, to: str, status: int = 307) -> Self:
        """Redirect to the URL *to*; if it has no path, to the same path of that host."""

        def alter(reply: Reply, call: RegistryCall) -> Reply:
            location = to if urlsplit(to).path else to + call.target
            head = (("Location", location), ("Content-Length", "0"))
            return replace(reply, status=status, headers=head, body=NO_BODY)

        return self._act(Action(f"redirect {status} to {to}", alter))

    def headers(self, changes: Mapping[str, str | None]) -> Self:
        """Replace headers of the answer; None drops one. The framing follows the headers: see
        :mod:`harness.upstream.replies`."""
        text = ", ".join(
            f"{name} dropped" if value is None else f"{name}: {value}"
            for name, value in changes.items()
        )
        fixed = dict(changes)
        return self._act(Action(f"headers {text}", lambda reply, call: reply.with_headers(fixed)))

    def chunked(self) -> Self:
        """Send the body in chunks, without a Content-Length."""
        change = {"Content-Length": None, "Transfer-Encoding": "chunked"}
        return self._act(Action("chunked", lambda reply, call: reply.with_headers(change)))

    def corrupt(self) -> Self:
        """Send wrong bytes of the right length."""

        def alter(reply: Reply, call: RegistryCall) -> Reply:
            return replace(reply, body=replace(reply.body, corrupt=True))

        return self._act(Action("wrong bytes", alter))

    # -- the delivery ---------------------------------------------------------------------------
    def delay(self, seconds: float) -> Self:
        """Start the answer *seconds* late."""

        def alter(reply: Reply, call: RegistryCall) -> Reply:
            return replace(reply, delay=reply.delay + seconds)

        return self._act(Action(f"delay {seconds:g} s", alter))

    def throttle(self, bytes_per_second: float) -> Self:
        """Send the body at a limited rate. ``ValueError`` unless it is positive."""
        if bytes_per_second <= 0:
            raise ValueError("throttle takes more than 0 bytes per second")
        return self._set(f"{bytes_per_second:g} bytes/s", bytes_per_second=bytes_per_second)

    def hang(self, after: int | None = None) -> Self:
        """Stop sending after *after* bytes of the body, or before the head, until
        ``FaultScript.release``, ``clear_faults`` or the end of the connection."""
        gate = Gate()
        return self._set(f"hang {_position(after)}", gate, hang=Hang(after, gate.passed))

    def reset(self, after: int | None = None) -> Self:
        """Reset the connection after *after* bytes of the body, or before the head."""
        return self._set(f"reset {_position(after)}", cut=Cut(after))

    def truncate(self, after: int | None = None) -> Self:
        """Close the connection after *after* bytes of the body, with more announced, or before the
        head, which clients call an empty reply."""
        return self._set(f"truncated {_position(after)}", cut=Cut(after, in_order=True))

    def raw(self, data: bytes) -> Self:
        """Send *data* instead of an HTTP answer, and close the connection."""
        return self._set(f"{len(data)} raw bytes", raw=data)


def _position(after: int | None) -> str:
    return "before the head" if after is None else f"after {after} bytes"


@dataclass(frozen=True)
class Fault(Scripted):
    """What happens to which calls. The methods of its actions return a fault with one more:
    ``Fault(Match.parse("GET *")).delay(1).status(503)``."""

    match: Match
    actions: tuple[Action, ...] = ()
    times: int | None = None
    """How many requests meet it at most; None: all."""
    state: str | None = None
    """Only while the upstream is in this state; None: in any state."""
    next_state: str | None = None
    """The state of the upstream afterwards; None: unchanged."""
    where: Callable[[RegistryCall], bool] | None = None
    """One more condition on the call."""

    def _act(self, action: Action) -> Self:
        return replace(self, actions=(*self.actions, action))

    def __str__(self) -> str:
        return " + ".join(action.text for action in self.actions)


@dataclass
class FaultScript(Scripted):
    """One fault of an upstream, in force from its first action on. Every method returns the
    script, so that actions can be chained."""

    fault: Fault
    """The fault as scripted so far."""
    hits: int = 0
    """How many requests have met this fault."""

    def times(self, times: int | None) -> Self:
        """Apply to at most *times* requests; None: to all."""
        self.fault = replace(self.fault, times=times)
        return self

    def then(self, state: str) -> Self:
        """Put the upstream into *state* when a request meets this fault."""
        self.fault = replace(self.fault, next_state=state)
        return self

    def release(self) -> None:
        """End :meth:`hang`: waiting answers go on, and later ones do not wait."""
        for action in self.fault.actions:
            if action.gate is not None:
                action.gate.open()

    def _act(self, action: Action) -> Self:
        self.fault = self.fault._act(action)
        return self


class FaultList:
    """The faults of one upstream in order. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: list[FaultScript] = []
        self.state: str = "start"
        """Compared with ``Fault.state``."""

    def add(self, fault: Fault) -> FaultScript:
        """Append *fault*; returns the script that can change it."""
        script = FaultScript(fault)
        with self._lock:
            self._scripts.append(script)
        return script

    def take(self, call: RegistryCall) -> Fault | None:
        """The fault that *call* meets, which is counted; None if there is none."""
        with self._lock:
            for script in self._scripts:
                fault = script.fault
                if (
                    fault.actions
                    and (fault.times is None or script.hits < fault.times)
                    and fault.state in {None, self.state}
                    and fault.match(call)
                    and (fault.where is None or fault.where(call))
                ):
                    script.hits += 1
                    self.state = fault.next_state or self.state
                    return fault
        return None

    @property
    def scripts(self) -> tuple[FaultScript, ...]:
        """All faults, as scripted so far."""
        with self._lock:
            return tuple(self._scripts)

    def clear(self) -> None:
        """Remove all faults, release all hanging answers, and return to the state ``start``."""
        with self._lock:
            scripts, self._scripts = self._scripts, []
            self.state = "start"
        for script in scripts:
            script.release()
