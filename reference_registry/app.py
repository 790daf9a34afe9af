"""The registry as an ASGI application: ``create_app`` makes one from a configuration.

A request goes downhill: health gate, route, client authentication, the repository's name, then the
handler of the resource (``api``), which asks a ``Repository`` (``storage`` or ``proxy``).
"""

from __future__ import annotations

import errno
import html
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reference_registry.api.access import access_needed
from reference_registry.api.context import Context, json_response
from reference_registry.api.resources import RESOURCES, dispatch, plain_text
from reference_registry.api.routing import Moved, Route, Router
from reference_registry.api.upload_state import UploadStates
from reference_registry.api.urls import prefixed
from reference_registry.auth import authenticator_for
from reference_registry.clock import Clock, SystemClock
from reference_registry.config import Config
from reference_registry.http.details import detail
from reference_registry.http.errors import (
    NAME_INVALID,
    STORAGE_FULL,
    UNAVAILABLE,
    UNKNOWN,
    RegistryError,
)
from reference_registry.http.hooks import (
    AuthenticationBroken,
    Authenticator,
    Background,
    Exchange,
    HealthGate,
    Observer,
    Panic,
)
from reference_registry.http.messages import BytesBody, ClientGone, Request, Response
from reference_registry.names import MAX_NAME_LENGTH, below_host, is_repository_name
from reference_registry.observability.counters import Counters
from reference_registry.observability.debug import DebugApplication
from reference_registry.observability.health import Health
from reference_registry.observability.metrics import HttpMetrics
from reference_registry.profiles import DEFAULT_PROFILE, Profile
from reference_registry.registry import StandardRegistry
from reference_registry.repository import Place, Registry
from reference_registry.server.asgi import (
    ASGIApp,
    Receive,
    ResponseSender,
    Scope,
    Send,
    read_request,
)
from reference_registry.server.repeating import Repeated

if TYPE_CHECKING:
    import httpx

__all__ = ["Application", "create_app"]

_log = logging.getLogger(__name__)

_API_VERSION = (("Docker-Distribution-Api-Version", "registry/2.0"),)


class Application:
    """The API listener's ASGI application, with the registry behind it.

    ``start`` and ``stop`` begin and end the registry's background work; a server that speaks ASGI
    lifespan calls them by itself.
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
        background: Sequence[Background] = (),
    ) -> None:
        self.config = config
        self.profile = profile
        self.registry = registry
        self.debug = debug
        self._clock = clock
        self._authenticator = authenticator
        self._health = health
        self._observers = tuple(observers)
        self._background = (*background, registry)
        self._router = Router(profile)
        self._states = _upload_states(config, profile)
        self._prefix = config.http.prefix.rstrip("/")
        self._extra_headers = tuple(
            (name, value) for name, values in config.http.headers.items() for value in values
        )

    async def start(self) -> None:
        for part in self._background:
            await part.start()
        takes_uploads = self.config.proxy is None
        warned_of = takes_uploads or self.profile.proxy_warns_of_missing_secret
        if not self.config.http.secret and warned_of:
            _log.warning(
                "http.secret is not set; a random one is used, so uploads that began on another "
                "registry behind the same load balancer, or before a restart, cannot be told from "
                "forged ones"
            )

    async def stop(self) -> None:
        for part in reversed(self._background):
            await part.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"this application does not speak {scope['type']}")
        started, began = self._clock.now(), time.perf_counter()
        request, body = read_request(scope, receive, self.profile.body_patience)
        local = self._without_prefix(request.path)
        found = self._router.find(local) if local is not None else None
        handler = found.resource if isinstance(found, Route) else None
        for observer in self._observers:
            observer.started(request, handler)
        sender = ResponseSender(scope, receive, send)
        status, complete = 499, False
        try:
            asked = request
            if local is not None and local != request.path:
                asked = replace(request, path=local)
            response = await self._answer(asked, found)
            status = response.status
            await sender.send(response, self._repeated(response, request, handler))
            complete = True
        except ClientGone:
            _log.debug("client left: %s %s", request.method, request.path)
        finally:
            exchange = Exchange(
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

    def _repeated(
        self, response: Response, request: Request, handler: str | None
    ) -> Repeated | None:
        """How the server may give *response* again; not where clients are authenticated, which is
        done anew each time."""
        body = response.body
        if response.again is None or self._authenticator or not isinstance(body, BytesBody):
            return None
        return Repeated(
            response.again,
            request,
            handler,
            response.status,
            0 if request.method == "HEAD" else len(body.content),
            observers=self._observers,
            health=self._health,
            clock=self._clock,
        )

    def _without_prefix(self, path: str) -> str | None:
        """*path* below ``http.prefix``; None outside of it, where only ``/`` is anything."""
        return path.removeprefix(self._prefix) if path.startswith(f"{self._prefix}/v2") else None

    async def _answer(self, request: Request, found: Route | Moved | None) -> Response:
        failing = self._health.failing() if self._health is not None else {}
        if failing:
            error = UNAVAILABLE("health check failed: please see /debug/health")
            return self._error_response(error)
        if request.path == "/":
            return Response(200, (("Cache-Control", "no-cache"),))
        match found:
            case None:
                response = plain_text(404, "404 page not found\n")
            case Moved():
                response = self._moved(request, found)
            case Route():
                response = await self._dispatch(request, found)
        return response.with_headers(before=_API_VERSION)

    async def _dispatch(self, request: Request, route: Route) -> Response:
        place = Place("")
        try:
            found = self._locate(request, route)
            if isinstance(found, Place):
                place = found
            if self._authenticator is not None:
                access = access_needed(request, route, place.name)
                user = await self._authenticator.authenticate(request, access)
                request = replace(request, principal=user)
            if isinstance(found, RegistryError):
                raise found
            self._check_name(place.name)
            context = Context(
                request=request,
                parameters=route.parameters,
                registry=self.registry,
                config=self.config,
                profile=self.profile,
                clock=self._clock,
                states=self._states,
                place=place,
            )
            response = await dispatch(RESOURCES[route.resource], context)
        except RegistryError as error:
            self._log_failure(request, error)
            response = self._error_response(error)
        except AuthenticationBroken as broken:
            _log.error("client authentication does not work: %s", broken)
            response = self._authentication_broken()
        except (ClientGone, Panic):
            raise
        except Exception as error:
            if self.profile.tells_full_disk and _is_full_disk(error):
                _log.error("%s %s: %s", request.method, request.path, error)
                response = self._error_response(STORAGE_FULL())
            else:
                _log.exception("error in %s %s", request.method, request.path)
                response = self._error_response(UNKNOWN(detail(self.profile, str(error))))
        headers = self._extra_headers
        if place.namespace is not None:
            headers = (("OCI-Namespace", place.namespace), *headers)
        return response.with_headers(after=headers) if headers else response

    def _locate(self, request: Request, route: Route) -> Place | RegistryError:
        """Which repository is meant. That none is, is told to those who may ask at all."""
        if route.resource == "base":
            return Place("")
        namespace = request.query("ns") if request.query_string else None
        try:
            return self.registry.locate(route.parameters.get("name", ""), namespace)
        except RegistryError as error:
            return error

    def _check_name(self, name: str) -> None:
        if not name or is_repository_name(name):
            return
        if self.profile.names_what_is_invalid:
            raise NAME_INVALID(f"not a repository name: {name}")
        # The grammar of distribution's routes is wider; its storage driver is not.
        limited = below_host(name) if self.profile.name_limit_spares_host else name
        if len(limited) > MAX_NAME_LENGTH or ":" in name:
            text = (
                f'repository name "{name}" invalid: repository name must not be more than '
                f"{MAX_NAME_LENGTH} characters"
            )
            raise UNKNOWN(detail(self.profile, text, {"Name": name, "Reason": {}}))

    def _log_failure(self, request: Request, error: RegistryError) -> None:
        """What is not the client's fault, with its cause, which the client need not know."""
        cause = error.__cause__
        told_why = self.profile.honest_upstream_errors and cause is not None and error.status != 404
        if error.status >= 500 or told_why:
            level = logging.ERROR if error.status >= 500 else logging.WARNING
            said = (request.method, request.path, error.status, cause or error)
            _log.log(level, "%s %s is answered %d: %s", *said)

    def _authentication_broken(self) -> Response:
        if self.profile.broken_htpasswd_is_unavailable:
            return self._error_response(UNAVAILABLE("client authentication does not work"))
        return Response(400)

    def _error_response(self, error: RegistryError) -> Response:
        return json_response(error.body(), self.profile, error.status, *error.headers)

    def _moved(self, request: Request, moved: Moved) -> Response:
        """301; Go's router sends a body with it only where a slash was to be added or dropped."""
        query = f"?{request.query_string}" if request.query_string else ""
        target = f"{prefixed(moved.path, self.config.http)}{query}"
        if moved.cleaned or request.method not in {"GET", "HEAD"}:
            return Response(301, (("Location", target),))
        content = f'<a href="{html.escape(target)}">Moved Permanently</a>.\n\n'
        return Response(
            301,
            (("Content-Type", "text/html; charset=utf-8"), ("Location", target)),
            BytesBody(content.encode()),
        )

    async def _live(self, receive: Receive, send: Send) -> None:
        """https://asgi.readthedocs.io/en/latest/specs/lifespan.html"""
        await receive()
        await self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(
    config: Config,
    *,
    profile: Profile = DEFAULT_PROFILE,
    clock: Clock | None = None,
    upstream: httpx.AsyncBaseTransport | None = None,
    observers: Sequence[Observer] = (),
) -> Application:
    """The registry that *config* describes: a standard one, or a proxy where ``proxy`` is set.

    *upstream* replaces the network between a proxy and its upstream; *observers* are told of every
    request, beside the metrics. Nothing is read, written or asked before
    :meth:`Application.start`.
    """
    clock = clock or SystemClock()
    counters = Counters()
    scraped = config.http.debug is not None and config.http.debug.prometheus_enabled
    local = StandardRegistry(config, profile, clock, counters if scraped else None)
    registry: Registry = local
    if config.proxy is not None:
        # The HTTP client is slow to import, and a standard registry has no use for it.
        from reference_registry.proxy.registry import ProxyRegistry

        registry = ProxyRegistry(config, profile, clock, local, upstream, counters=counters.proxy)
    health = Health(config.health.checks, driver=local.storage.driver, profile=profile, clock=clock)
    authenticator = authenticator_for(config.auth, profile, clock)
    return Application(
        config,
        profile,
        clock,
        registry,
        authenticator=authenticator,
        health=health,
        observers=(HttpMetrics(counters), *observers) if scraped else tuple(observers),
        debug=DebugApplication(config, profile=profile, health=health, counters=counters),
        background=(health,) if authenticator is None else (authenticator, health),
    )


def _is_full_disk(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


def _upload_states(config: Config, profile: Profile) -> UploadStates:
    if config.http.secret:
        return UploadStates(config.http.secret)
    if config.proxy is not None and profile.proxy_signs_with_empty_secret:
        return UploadStates("")
    return UploadStates(secrets.token_hex(32))
