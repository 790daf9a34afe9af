"""Whether a server may repeat a response without asking the application."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextvars import copy_context
from dataclasses import replace

from reference_registry.clock import Clock
from reference_registry.http.hooks import Exchange, HealthGate, Observer
from reference_registry.http.messages import Request

__all__ = ["ResponseValidity", "no_body"]


class ResponseValidity:
    """Called with a client's address and port, it says whether that client would get the same
    response to *request*: *status* with *sent* body bytes. If so, the request has been counted and
    logged like any other; if not, nothing has happened.

    *still_valid* is :attr:`reference_registry.http.messages.Response.still_valid`.
    """

    def __init__(
        self,
        still_valid: Callable[[], bool],
        request: Request,
        handler: str | None,
        status: int,
        sent: int,
        *,
        observers: Iterable[Observer],
        health: HealthGate | None,
        clock: Clock,
    ) -> None:
        self._still_valid = still_valid
        # The original body would keep its connection alive.
        self._request = replace(request, body=no_body())
        self._handler = handler
        self._status = status
        self._sent = sent
        self._observers = [each for each in observers if each.wants(status)]
        self._health = health
        self._clock = clock

    def __call__(self, client: tuple[str, int] | None) -> bool:
        began = time.perf_counter()
        if (self._health is not None and self._health.failing()) or not self._still_valid():
            return False
        if self._observers:
            exchange = self._exchange(client, time.perf_counter() - began)
            # Context variables set by an observer must not reach the connection's next request.
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


async def no_body() -> AsyncIterator[bytes]:
    """The body of a request without one."""
    chunks: tuple[bytes, ...] = ()
    for chunk in chunks:
        yield chunk


def _observe(observers: Sequence[Observer], exchange: Exchange) -> None:
    for observer in observers:
        observer.started(exchange.request, exchange.handler)
        observer.finished(exchange)
