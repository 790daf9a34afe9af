"""The registry as an ASGI application. ``create_app`` makes one from a configuration.

``api.answering`` turns a request into a response. This module connects it to ASGI, to what observes
requests (metrics, logs) and to the registry's background work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING

from reference_registry.api.answering import Api, Route
from reference_registry.auth import authenticator_for
from reference_registry.clock import Clock, SystemClock
from reference_registry.config import Config
from reference_registry.counters import Counters, Metrics
from reference_registry.http.asgi import (
    ASGIApp,
    Receive,
    ResponseSender,
    Scope,
    Send,
    read_request,
)
from reference_registry.http.hooks import (
    Authenticator,
    BackgroundWork,
    HealthGate,
    ObservedExchange,
    Observer,
)
from reference_registry.http.messages import BytesBody, ClientGone, Request, Response, no_chunks
from reference_registry.observability.debug import DebugApplication
from reference_registry.observability.health import Health
from reference_registry.profiles import DEFAULT_PROFILE, Profile
from reference_registry.registry import StandardRegistry
from reference_registry.repository import Registry

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)


class Application:
    """The ASGI application of the API listener.

    The server calls ``start`` and ``stop``, which control the registry's background work.
    """

    def __init__(
        self,
        config: Config,
        profile: Profile,
        clock: Clock,
        registry: Registry,
        *,
        authenticator: Authenticator | None = None,
        health: HealthGate | None = None,
        observers: Sequence[Observer] = (),
        debug: ASGIApp | None = None,
        background: Sequence[BackgroundWork] = (),
    ) -> None:
        self.config = config
        self.profile = profile
        self.registry = registry
        self.debug = debug
        self._api = Api(config, profile, clock, registry, authenticator, health)
        self._clock = clock
        self._authenticates = authenticator is not None
        self._health = health
        self._observers = tuple(observers)
        self._background = (*background, registry)

    async def start(self) -> None:
        for part in self._background:
            await part.start()
        takes_uploads = self.config.proxy is None
        warns = takes_uploads or self.profile.proxy_warns_of_missing_secret
        if not self.config.http.secret and warns:
            _log.warning(
                "http.secret is not set; using a random one. Uploads begun on another registry "
                "behind the same load balancer, or before a restart, will be rejected"
            )

    async def stop(self) -> None:
        for part in reversed(self._background):
            await part.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"unsupported ASGI scope {scope['type']}")
        started, began = self._clock.now(), time.perf_counter()
        request, body = read_request(scope, receive, self.profile.body_timeout)
        found = self._api.route(request)
        handler = found.resource if isinstance(found, Route) else None
        for observer in self._observers:
            observer.started(request, handler)
        sender = ResponseSender(scope, receive, send)
        status, complete = 499, False
        try:
            response = await self._api.answer(request, found)
            status = response.status
            await sender.send(response, self._validity(response, request, handler))
            complete = True
        except ClientGone:
            _log.debug("client disconnected: %s %s", request.method, request.path)
        finally:
            exchange = ObservedExchange(
                request=request,
                handler=handler,
                status=status,
                sent=sender.sent,
                received=body.received,
                started=started,
                seconds=time.perf_counter() - began,
                complete=complete,
            )
            for observer in self._observers:
                observer.finished(exchange)

    def _validity(
        self, response: Response, request: Request, handler: str | None
    ) -> Callable[[tuple[str, int] | None], bool] | None:
        """Says whether a client (address and port) that sends the same request gets the same
        *response*. If so, the request has been counted and logged like any other; if not, nothing
        has happened. None if the response may not be repeated, for example because every request
        has to be authenticated."""
        body, still_valid = response.body, response.still_valid
        if still_valid is None or self._authenticates or not isinstance(body, BytesBody):
            return None
        status, health, clock = response.status, self._health, self._clock
        sent = 0 if request.method == "HEAD" else len(body.content)
        observers = [each for each in self._observers if each.wants(status)]
        # The original body would keep its connection alive.
        request = replace(request, body=no_chunks())

        def is_valid(client: tuple[str, int] | None) -> bool:
            began = time.perf_counter()
            if (health is not None and health.failing()) or not still_valid():
                return False
            if observers:
                address = f"{client[0]}:{client[1]}" if client else ""
                exchange = ObservedExchange(
                    request=replace(request, remote_address=address),
                    handler=handler,
                    status=status,
                    sent=sent,
                    received=0,
                    started=clock.now(),
                    seconds=time.perf_counter() - began,
                    complete=True,
                )
                # Context variables set by an observer must not reach the next request.
                copy_context().run(_observe, observers, exchange)
            return True

        return is_valid


def _observe(observers: Sequence[Observer], exchange: ObservedExchange) -> None:
    for observer in observers:
        observer.started(exchange.request, exchange.handler)
        observer.finished(exchange)


def create_app(
    config: Config,
    *,
    profile: Profile = DEFAULT_PROFILE,
    clock: Clock | None = None,
    upstream: httpx.AsyncBaseTransport | None = None,
    observers: Sequence[Observer] = (),
) -> Application:
    """The registry that *config* describes: a proxy if ``proxy`` is set, otherwise a standard one.

    *upstream* replaces the network between a proxy and its upstream. *observers* see every request,
    in addition to the metrics. There is no I/O before :meth:`Application.start`.
    """
    clock = clock or SystemClock()
    counters = Counters()
    scraped = config.http.debug is not None and config.http.debug.prometheus_enabled
    metrics = Metrics(counters, profile) if scraped else None
    local = StandardRegistry(config, profile, clock, metrics)
    registry: Registry = local
    if config.proxy is not None:
        # The HTTP client is slow to import, and a standard registry does not need it.
        from reference_registry.proxy.registry import ProxyRegistry

        registry = ProxyRegistry(config, profile, clock, local, upstream, counters=counters)
    health = Health(config.health.checks, driver=local.storage.driver, profile=profile, clock=clock)
    authenticator = authenticator_for(config.auth, profile, clock)
    return Application(
        config,
        profile,
        clock,
        registry,
        authenticator=authenticator,
        health=health,
        observers=tuple(observers) if metrics is None else (metrics, *observers),
        debug=DebugApplication(
            config, profile=profile, health=health, counters=counters, metrics=metrics
        ),
        background=(health,) if authenticator is None else (authenticator, health),
    )
