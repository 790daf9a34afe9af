"""Scripted faults: ``upstream.on("GET", blob).reset(after=1000).times(1)``.

A :class:`Fault` is a match and a tuple of actions, as data. Some actions change the answer (status,
headers, wrong bytes), others its delivery (late, never, cut off). A request meets the first fault
in the list that matches and is not used up, so that limited faults make a sequence: two 503, then
one reset, then normal answers.
"""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from harness.content import Blob
from harness.upstream.calls import Call, Match
from harness.upstream.replies import Body, Reply

__all__ = ["Action", "Delivery", "Fault", "FaultList", "FaultScript", "Gate", "Hang", "Reset"]

S = TypeVar("S")


class Gate:
    """Closed until :meth:`open` is called, from any thread; then open for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        """Let everyone pass who waits or comes later."""
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def passed(self) -> None:
        """Return once the gate is open."""
        event = asyncio.Event()
        with self._lock:
            if self._open:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()


@dataclass(frozen=True)
class Hang:
    """Silence after ``after`` bytes of the body (None: before the head) until ``gate`` opens."""

    after: int | None
    gate: Gate = field(repr=False, compare=False)


@dataclass(frozen=True)
class Reset:
    """The connection ends after ``after`` bytes of the body (None: before the head): by a TCP
    reset, or by an orderly close if it is ``in_order``."""

    after: int | None
    in_order: bool = False


@dataclass(frozen=True)
class Delivery:
    """How an answer is sent."""

    raw: bytes | None = None
    """Bytes to send instead of an answer."""
    delay: float = 0.0
    """Seconds before the answer starts."""
    bytes_per_second: float | None = None
    hang: Hang | None = None
    cut: Reset | None = None


@dataclass(frozen=True)
class Action:
    """One thing that a fault does, described by ``text``: it alters the answer or its delivery."""

    text: str
    alter: Callable[[Reply, Call], Reply] = field(
        default=lambda reply, call: reply, repr=False, compare=False
    )
    deliver: Callable[[Delivery], Delivery] = field(
        default=lambda delivery: delivery, repr=False, compare=False
    )
    gate: Gate | None = field(default=None, repr=False, compare=False)


class Scripted(Generic[S]):
    """The actions as methods that can be chained: ``.delay(0.2).status(503)``. They apply in the
    order in which they are called."""

    @abstractmethod
    def _act(self, action: Action) -> S: ...

    # -- the answer -----------------------------------------------------------------------------
    def status(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes | str = b""
    ) -> S:
        """Answer *status* with only these *headers* and this *body*."""
        content = body.encode() if isinstance(body, str) else body

        def alter(reply: Reply, call: Call) -> Reply:
            head = {"Content-Length": str(len(content))}
            if content:
                head["Content-Type"] = "application/json"
            plain = Reply(status, tuple(head.items()), Body(Blob(content)))
            return plain.with_headers(dict(headers or {}))

        return self._act(Action(f"status {status}", alter))

    def redirect(self, to: str, status: int = 307) -> S:
        """Redirect to the URL *to*; if it has no path, to the same path of that host."""

        def alter(reply: Reply, call: Call) -> Reply:
            location = to if urlsplit(to).path else to + call.target
            return Reply(status, (("Location", location), ("Content-Length", "0")))

        return self._act(Action(f"redirect {status} to {to}", alter))

    def headers(self, changes: Mapping[str, str | None]) -> S:
        """Replace headers of the answer; None drops one. The framing follows the headers: see
        :mod:`harness.upstream.replies`."""
        text = ", ".join(
            f"{name} dropped" if value is None else f"{name}: {value}"
            for name, value in changes.items()
        )
        fixed = dict(changes)
        return self._act(Action(f"headers {text}", lambda reply, call: reply.with_headers(fixed)))

    def chunked(self) -> S:
        """Send the body in chunks, without a Content-Length."""
        change = {"Content-Length": None, "Transfer-Encoding": "chunked"}
        return self._act(Action("chunked", lambda reply, call: reply.with_headers(change)))

    def corrupt(self) -> S:
        """Send wrong bytes of the right length."""
        return self._act(
            Action(
                "wrong bytes",
                lambda reply, call: replace(reply, body=replace(reply.body, corrupt=True)),
            )
        )

    # -- the delivery ---------------------------------------------------------------------------
    def delay(self, seconds: float) -> S:
        """Start the answer *seconds* late."""
        return self._deliver(f"delay {seconds:g} s", lambda d: replace(d, delay=d.delay + seconds))

    def throttle(self, bytes_per_second: float) -> S:
        """Send the body at a limited rate. ``ValueError`` unless it is positive."""
        if bytes_per_second <= 0:
            raise ValueError("throttle takes more than 0 bytes per second")
        return self._deliver(
            f"{bytes_per_second:g} bytes/s", lambda d: replace(d, bytes_per_second=bytes_per_second)
        )

    def hang(self, after: int | None = None) -> S:
        """Stop sending after *after* bytes of the body, or before the head, until
        ``FaultScript.release``, ``clear_faults`` or the end of the connection."""
        hang = Hang(after, Gate())
        text = f"hang {_position(after)}"
        return self._act(Action(text, deliver=lambda d: replace(d, hang=hang), gate=hang.gate))

    def reset(self, after: int | None = None) -> S:
        """Reset the connection after *after* bytes of the body, or before the head."""
        return self._deliver(f"reset {_position(after)}", lambda d: replace(d, cut=Reset(after)))

    def truncate(self, after: int | None = None) -> S:
        """Close the connection after *after* bytes of the body, with more announced, or before the
        head, which clients call an empty reply."""
        cut = Reset(after, in_order=True)
        return self._deliver(f"truncated {_position(after)}", lambda d: replace(d, cut=cut))

    def raw(self, data: bytes) -> S:
        """Send *data* instead of an HTTP answer, and close the connection."""
        return self._deliver(f"{len(data)} raw bytes", lambda d: replace(d, raw=data))

    def _deliver(self, text: str, deliver: Callable[[Delivery], Delivery]) -> S:
        return self._act(Action(text, deliver=deliver))


def _position(after: int | None) -> str:
    return "before the head" if after is None else f"after {after} bytes"


@dataclass(frozen=True)
class Fault(Scripted["Fault"]):
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
    where: Callable[[Call], bool] | None = None
    """One more condition on the call."""

    def _act(self, action: Action) -> Fault:
        return replace(self, actions=(*self.actions, action))

    def __str__(self) -> str:
        return " + ".join(action.text for action in self.actions)


@dataclass
class _Slot:
    fault: Fault
    hits: int = 0


class FaultList:
    """The faults of one upstream in order. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: list[_Slot] = []
        self.state: str = "start"
        """Compared with ``Fault.state``."""

    def add(self, fault: Fault) -> _Slot:
        """Append *fault*."""
        slot = _Slot(fault)
        with self._lock:
            self._slots.append(slot)
        return slot

    def take(self, call: Call) -> Fault | None:
        """The fault that *call* meets, which is counted; None if there is none."""
        with self._lock:
            for slot in self._slots:
                fault = slot.fault
                if (
                    fault.actions
                    and (fault.times is None or slot.hits < fault.times)
                    and fault.state in {None, self.state}
                    and fault.match(call)
                    and (fault.where is None or fault.where(call))
                ):
                    slot.hits += 1
                    self.state = fault.next_state or self.state
                    return fault
        return None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults."""
        with self._lock:
            return tuple(slot.fault for slot in self._slots)

    @property
    def unmet(self) -> tuple[Fault, ...]:
        """The faults that no request has met."""
        with self._lock:
            return tuple(slot.fault for slot in self._slots if not slot.hits)

    def clear(self) -> None:
        """Remove all faults, release all hanging answers, and return to the state ``start``."""
        with self._lock:
            slots, self._slots = self._slots, []
            self.state = "start"
        for slot in slots:
            _release(slot.fault)


def _release(fault: Fault) -> None:
    for action in fault.actions:
        if action.gate is not None:
            action.gate.open()


class FaultScript(Scripted["FaultScript"]):
    """One fault of an upstream, in force from its first action on. Every method returns the
    script, so that actions can be chained."""

    def __init__(self, faults: FaultList, fault: Fault) -> None:
        self._slot = faults.add(fault)

    @property
    def fault(self) -> Fault:
        """The fault as scripted so far."""
        return self._slot.fault

    @property
    def hits(self) -> int:
        """How many requests have met this fault."""
        return self._slot.hits

    def times(self, times: int | None) -> FaultScript:
        """Apply to at most *times* requests; None: to all."""
        self._slot.fault = replace(self.fault, times=times)
        return self

    def then(self, state: str) -> FaultScript:
        """Put the upstream into *state* when a request meets this fault."""
        self._slot.fault = replace(self.fault, next_state=state)
        return self

    def release(self) -> None:
        """End :meth:`hang`: waiting answers go on, and later ones do not wait."""
        _release(self.fault)

    def _act(self, action: Action) -> FaultScript:
        self._slot.fault = self.fault._act(action)
        return self
