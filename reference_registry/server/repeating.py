"""An answer that a server may give again without asking the application for it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextvars import copy_context
from dataclasses import replace

from reference_registry.clock import Clock
from reference_registry.http.hooks import Exchange, HealthGate, Observer
from reference_registry.http.messages import Request

__all__ = ["Repeated"]


class Repeated:
    """Called, it says whether the *request* that was answered with *status* and *sent* bytes would
    be answered the same if a client (address and port) made it now. If so, it has been counted and
    logged like any other; if not, nothing has happened.

    *is_same* is :attr:`reference_registry.http.messages.Response.again`.
    """

    def __init__(
        self,
        is_same: Callable[[], bool],
        request: Request,
        handler: str | None,
        status: int,
        sent: int,
        *,
        observers: Iterable[Observer],
        health: HealthGate | None,
        clock: Clock,
    ) -> None:
        self._is_same = is_same
        # Its body would keep the connection alive that it came on.
        self._request = replace(request, body=_nothing())
        self._handler = handler
        self._status = status
        self._sent = sent
        self._observers = [each for each in observers if each.minds(status)]
        self._health = health
        self._clock = clock

    def __call__(self, client: tuple[str, int] | None) -> bool:
        began = time.perf_counter()
        if (self._health is not None and self._health.failing()) or not self._is_same():
            return False
        if self._observers:
            exchange = self._exchange(client, time.perf_counter() - began)
            # What is noted of this request is not for what its connection does next.
            copy_context().run(_observe, self._observers, exchange)
        return True

    def _exchange(self, client: tuple[str, int] | None, seconds: float) -> Exchange:
        address = f"{client[0]}:{client[1]}" if client else ""
        return Exchange(
            request=replace(self._request, remote_address=address),
            handler=self._handler,
            status=self._status,
            sent=self._sent,
            received=0,
            started=self._clock.now(),
            seconds=seconds,
            complete=True,
        )


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _observe(observers: Sequence[Observer], exchange: Exchange) -> None:
    for observer in observers:
        observer.started(exchange.request, exchange.handler)
        observer.finished(exchange)
