"""What can go wrong, as data.

A :class:`Fault` is a match and a tuple of actions. Some actions change the answer (status, headers,
wrong bytes), the others how it is delivered (late, not at all, cut off). The first fault in the
list that matches and is not used up is the one that a request meets, so that faults of limited
number make a sequence: two 503, then one reset, then the truth.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from harness.content import Blob
from harness.upstream.calls import Call, Headers
from harness.upstream.matching import Match
from harness.upstream.replies import Body, Reply

__all__ = [
    "Action",
    "Chunked",
    "Corrupt",
    "Delay",
    "Delivery",
    "Fault",
    "FaultList",
    "Gate",
    "Hang",
    "Raw",
    "Redirect",
    "Reset",
    "SetHeaders",
    "Status",
    "Throttle",
    "Truncate",
]


class Gate:
    """Closed until somebody opens it, from whatever thread; then open for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        """Let everybody through who waits, and who comes."""
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
class Delivery:
    """How an answer goes out. Positions count bytes of the body; None comes before the head."""

    raw: bytes | None = None
    """To send instead of any answer."""
    delay: float = 0.0
    bytes_per_second: float | None = None
    hang: Hang | None = None
    cut: Reset | Truncate | None = None


class Action:
    """One thing that a fault does. Actions apply in the order in which they were scripted."""

    def alter(self, reply: Reply, call: Call) -> Reply:
        """What becomes of the answer."""
        return reply

    def deliver(self, delivery: Delivery) -> Delivery:
        """What becomes of its delivery."""
        return delivery


# -- actions on the answer ----------------------------------------------------------------------
@dataclass(frozen=True)
class Status(Action):
    """Another answer altogether."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def alter(self, reply: Reply, call: Call) -> Reply:
        head = {"Content-Length": str(len(self.body))}
        if self.body:
            head["Content-Type"] = "application/json"
        return Reply(self.status, tuple(head.items()), Body(Blob(self.body))).with_headers(
            dict(self.headers)
        )

    def __str__(self) -> str:
        return f"status {self.status}"


@dataclass(frozen=True)
class Redirect(Action):
    """Elsewhere: at the URL ``to``, or, where that has no path, at the same path of that host."""

    to: str
    status: int = 307

    def alter(self, reply: Reply, call: Call) -> Reply:
        location = self.to if urlsplit(self.to).path else self.to + call.target
        return Reply(self.status, (("Location", location), ("Content-Length", "0")))

    def __str__(self) -> str:
        return f"redirect {self.status} to {self.to}"


@dataclass(frozen=True)
class SetHeaders(Action):
    """Headers set anew, or dropped where the value is None. The framing follows: see
    :mod:`harness.upstream.replies`."""

    changes: tuple[tuple[str, str | None], ...]

    def alter(self, reply: Reply, call: Call) -> Reply:
        return reply.with_headers(dict(self.changes))

    def __str__(self) -> str:
        return "headers " + ", ".join(
            f"{name} dropped" if value is None else f"{name}: {value}"
            for name, value in self.changes
        )


@dataclass(frozen=True)
class Chunked(Action):
    """The body in chunks, without a Content-Length."""

    def alter(self, reply: Reply, call: Call) -> Reply:
        return reply.with_headers({"Content-Length": None, "Transfer-Encoding": "chunked"})

    def __str__(self) -> str:
        return "chunked"


@dataclass(frozen=True)
class Corrupt(Action):
    """A body of the right length with wrong bytes."""

    def alter(self, reply: Reply, call: Call) -> Reply:
        return replace(reply, body=replace(reply.body, corrupt=True))

    def __str__(self) -> str:
        return "wrong bytes"


# -- actions on the delivery --------------------------------------------------------------------
@dataclass(frozen=True)
class Delay(Action):
    """The answer begins ``seconds`` late."""

    seconds: float

    def deliver(self, delivery: Delivery) -> Delivery:
        return replace(delivery, delay=delivery.delay + self.seconds)

    def __str__(self) -> str:
        return f"delay {self.seconds:g} s"


@dataclass(frozen=True)
class Throttle(Action):
    """The body at a limited rate."""

    bytes_per_second: float

    def __post_init__(self) -> None:
        if self.bytes_per_second <= 0:
            raise ValueError("a throttled body moves: more than 0 bytes per second")

    def deliver(self, delivery: Delivery) -> Delivery:
        return replace(delivery, bytes_per_second=self.bytes_per_second)

    def __str__(self) -> str:
        return f"{self.bytes_per_second:g} bytes/s"


@dataclass(frozen=True)
class Hang(Action):
    """Silence after ``after`` bytes of the body (None: before the head), until released."""

    after: int | None = None
    gate: Gate = field(default_factory=Gate, repr=False, compare=False)

    def deliver(self, delivery: Delivery) -> Delivery:
        return replace(delivery, hang=self)

    def __str__(self) -> str:
        return f"hang {_position(self.after)}"


@dataclass(frozen=True)
class Reset(Action):
    """A TCP reset after ``after`` bytes of the body (None: before the head)."""

    after: int | None = None

    def deliver(self, delivery: Delivery) -> Delivery:
        return replace(delivery, cut=self)

    def __str__(self) -> str:
        return f"reset {_position(self.after)}"


@dataclass(frozen=True)
class Truncate(Action):
    """An orderly close after ``after`` bytes of the body, with more announced (None: before the
    head, which clients call an empty reply)."""

    after: int | None = None

    def deliver(self, delivery: Delivery) -> Delivery:
        return replace(delivery, cut=self)

    def __str__(self) -> str:
        return f"truncated {_position(self.after)}"


@dataclass(frozen=True)
class Raw(Action):
    """Bytes of one's own instead of an answer in HTTP, and an orderly close."""

    data: bytes

    def deliver(self, delivery: Delivery) -> Delivery:
        return replace(delivery, raw=self.data)

    def __str__(self) -> str:
        return f"{len(self.data)} raw bytes"


def _position(after: int | None) -> str:
    return "before the head" if after is None else f"after {after} bytes"


# -- the script ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Fault:
    """What happens to which calls, how many times at most, and in which state of the upstream."""

    match: Match
    actions: tuple[Action, ...] = ()
    times: int | None = None
    """None: always."""
    state: str | None = None
    """Only while the upstream is in this state; None: in any."""
    next_state: str | None = None
    """The state that the upstream is in afterwards; None: as before."""
    where: Callable[[Call], bool] | None = None
    """One more condition on the call."""

    def __str__(self) -> str:
        return " + ".join(map(str, self.actions))


@dataclass
class _Slot:
    fault: Fault
    hits: int = 0


class FaultList:
    """The script of one upstream. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: list[_Slot] = []
        self.state: str = "start"
        """What ``state`` of a fault is compared with."""

    def add(self, fault: Fault) -> _Slot:
        """Put *fault* at the end."""
        slot = _Slot(fault)
        with self._lock:
            self._slots.append(slot)
        return slot

    def take(self, call: Call) -> Fault | None:
        """The fault that *call* meets, counted as used; None where none applies."""
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
        """The script as it stands."""
        with self._lock:
            return tuple(slot.fault for slot in self._slots)

    @property
    def unmet(self) -> tuple[Fault, ...]:
        """Those that no request has met."""
        with self._lock:
            return tuple(slot.fault for slot in self._slots if not slot.hits)

    def clear(self) -> None:
        """Forget all faults, let go whoever hangs, and return to the first state."""
        with self._lock:
            slots, self._slots = self._slots, []
            self.state = "start"
        for slot in slots:
            for action in slot.fault.actions:
                if isinstance(action, Hang):
                    action.gate.open()
