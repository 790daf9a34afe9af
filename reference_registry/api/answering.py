"""From a request to its response: health, route, authentication, repository, handler, errors.

The table of routes is distribution's, with ``referrers`` of OCI 1.1. Resources have the names of
the label ``handler`` in its metrics.
"""

from __future__ import annotations

import errno
import html
import logging
import posixpath
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_network
from urllib.parse import quote

from reference_registry.api.context import (
    Context,
    UploadStates,
    is_sound_forwarding,
    json_response,
    prefixed,
)
from reference_registry.api.resources import RESOURCES
from reference_registry.api.uploads import session_of
from reference_registry.clock import Clock
from reference_registry.config import Config
from reference_registry.http.errors import (
    NAME_INVALID,
    STORAGE_FULL,
    UNAVAILABLE,
    UNKNOWN,
    RegistryError,
    detail,
)
from reference_registry.http.hooks import (
    Access,
    AuthenticationBroken,
    Authenticator,
    HealthGate,
    Panic,
)
from reference_registry.http.messages import BytesBody, ClientGone, Request, Response
from reference_registry.names import (
    DISTRIBUTION_DIGEST,
    DISTRIBUTION_NAME,
    DISTRIBUTION_REFERENCE,
    MAX_NAME_LENGTH,
    below_host,
    is_repository_name,
)
from reference_registry.profiles import Profile
from reference_registry.repository import Registry, RepositoryAddress

_log = logging.getLogger(__name__)

_CACHED = 512
"""Characters; longer paths are not cached."""
_API_VERSION = (("Docker-Distribution-Api-Version", "registry/2.0"),)
_ACTIONS = {
    **dict.fromkeys(("GET", "HEAD"), ("pull",)),
    **dict.fromkeys(("POST", "PUT", "PATCH"), ("pull", "push")),
    "DELETE": ("delete",),
}


# -- routes ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Route:
    """The resource that a path names, and the names, digests and references in the path."""

    resource: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Moved:
    """The path is not in its plain form, which is *path*: 301."""

    path: str
    cleaned: bool
    """The path had ``//`` or dot segments; otherwise a slash at its end is missing or extra."""


class Router:
    """The routes that *profile* has."""

    def __init__(self, profile: Profile) -> None:
        if profile.names_what_is_invalid:  # Handlers then check the parts and name the bad one.
            parts = (".+", "[^/]+", "(?!uploads$)[^/]+", "[^/]+")
        else:
            uuid = r"[a-zA-Z0-9_.=-]+"
            parts = (DISTRIBUTION_NAME, DISTRIBUTION_REFERENCE, DISTRIBUTION_DIGEST, uuid)
        name, reference, digest, uuid = (
            f"(?P<{part}>{pattern})"
            for part, pattern in zip(("name", "reference", "digest", "uuid"), parts, strict=True)
        )
        table = {
            "base": "/v2/",
            "catalog": "/v2/_catalog",
            "tags": f"/v2/{name}/tags/list",
            "manifest": f"/v2/{name}/manifests/{reference}",
            "referrers": f"/v2/{name}/referrers/{digest}",
            "blob_upload": f"/v2/{name}/blobs/uploads/",
            "blob_upload_chunk": f"/v2/{name}/blobs/uploads/{uuid}",
            "blob": f"/v2/{name}/blobs/{digest}",
        }
        if not profile.referrers_api:
            del table["referrers"]
        self._redirects_outside = profile.redirects_outside
        self._routes = [(resource, re.compile(pattern)) for resource, pattern in table.items()]
        self._find_cached = lru_cache(maxsize=1024)(self._find)

    def find(self, path: str) -> Route | Moved | None:
        """What *path* names; None if nothing."""
        return self._find_cached(path) if len(path) <= _CACHED else self._find(path)

    def _find(self, path: str) -> Route | Moved | None:
        cleaned = _clean(path)
        if cleaned != path:
            outside = cleaned != "/v2" and not cleaned.startswith("/v2/")
            if outside and not self._redirects_outside:
                return None
            return Moved(cleaned, cleaned=True)
        route = self._match(path)
        if route is None:
            other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
            if self._match(other) is not None:
                return Moved(other, cleaned=False)
        return route

    def _match(self, path: str) -> Route | None:
        for resource, pattern in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                return Route(resource, match.groupdict())
        return None


def _clean(path: str) -> str:
    """*path* without empty and dot segments (RFC 3986, 5.2.4); a slash at its end stays."""
    if "//" not in path and "/." not in path:
        return path
    cleaned = posixpath.normpath(f"/{path.lstrip('/')}")
    return f"{cleaned}/" if path.endswith("/") and cleaned != "/" else cleaned


_FORWARDED = frozenset({"forwarded", "x-forwarded-proto", "x-forwarded-host"})


# -- responses ------------------------------------------------------------------------------------
class Api:
    """Answers requests for *registry*."""

    def __init__(
        self,
        config: Config,
        profile: Profile,
        clock: Clock,
        registry: Registry,
        authenticator: Authenticator | None,
        health: HealthGate | None,
    ) -> None:
        self._config = config
        self._profile = profile
        self._clock = clock
        self._registry = registry
        self._authenticator = authenticator
        self._health = health
        self._router = Router(profile)
        secret = config.http.secret
        if not secret and not (config.proxy is not None and profile.proxy_signs_with_empty_secret):
            secret = secrets.token_hex(32)
        self._states = UploadStates(secret or "")
        self._prefix = config.http.prefix.rstrip("/")
        self._proxies = tuple(map(ip_network, config.http.trusted_proxies))
        self._extra_headers = tuple(
            (name, value) for name, values in config.http.headers.items() for value in values
        )

    def route(self, request: Request) -> Route | Moved | None:
        """What the path of *request* names; None if nothing, or if it is outside
        ``http.prefix``."""
        path = self._local(request.path)
        return None if path is None else self._router.find(path)

    async def answer(self, request: Request, found: Route | Moved | None) -> Response:
        """The response to *request*, for which :meth:`route` returned *found*."""
        if self._health is not None and self._health.failing():
            return self._error(UNAVAILABLE("health check failed: please see /debug/health"))
        if not self._profile.believes_forwarded and not _FORWARDED.isdisjoint(request.headers):
            request = self._unforwarded(request)
        path = self._local(request.path)
        if path is not None and path != request.path:
            request = replace(request, path=path)
        if request.path == "/":
            return Response(200, (("Cache-Control", "no-cache"),))
        match found:
            case None:
                response = _plain_text(404, "404 page not found\n")
            case Moved():
                response = self._moved(request, found)
            case Route():
                response = await self._handle(request, found)
        return response.with_headers(before=_API_VERSION)

    def _unforwarded(self, request: Request) -> Request:
        """*request* without the headers that say what another host forwarded, unless it is a
        trusted proxy and they name http or https and a valid host."""
        address = request.client_address
        trusted = address is not None and any(address in each for each in self._proxies)
        headers = {
            name: lines
            for name, lines in request.headers.items()
            if name not in _FORWARDED or (trusted and is_sound_forwarding(name, lines[0]))
        }
        return replace(request, headers=headers)

    def _local(self, path: str) -> str | None:
        """*path* without ``http.prefix``; None if it does not begin with it."""
        return path.removeprefix(self._prefix) if path.startswith(f"{self._prefix}/v2") else None

    async def _handle(self, request: Request, route: Route) -> Response:
        place = RepositoryAddress("")
        try:
            found = self._locate(request, route)
            if isinstance(found, RepositoryAddress):
                place = found
            if self._authenticator is not None:
                access = access_needed(request, route, place.name)
                await self._authenticator.authenticate(request, access)
            if isinstance(found, RegistryError):
                raise found
            self._check_name(place.name)
            context = Context(
                request=request,
                parameters=route.parameters,
                registry=self._registry,
                config=self._config,
                profile=self._profile,
                clock=self._clock,
                states=self._states,
                place=place,
            )
            response = await _dispatch(route.resource, context)
        except (ClientGone, Panic):
            raise
        except Exception as error:
            response = self._failure(request, error)
        headers = self._extra_headers
        if place.namespace is not None:
            headers = (("OCI-Namespace", place.namespace), *headers)
        return response.with_headers(after=headers) if headers else response

    def _locate(self, request: Request, route: Route) -> RepositoryAddress | RegistryError:
        """The repository that *request* names. The error is returned, not raised, so that only
        authenticated clients see it."""
        if route.resource == "base":
            return RepositoryAddress("")
        namespace = request.query("ns") if request.query_string else None
        try:
            return self._registry.locate(route.parameters.get("name", ""), namespace)
        except RegistryError as error:
            return error

    def _check_name(self, name: str) -> None:
        if not name or is_repository_name(name):
            return
        if self._profile.names_what_is_invalid:
            raise NAME_INVALID(f"not a repository name: {name}")
        # distribution's routes accept more names than its storage driver.
        limited = below_host(name) if self._profile.name_limit_skips_host else name
        if len(limited) > MAX_NAME_LENGTH or ":" in name:
            text = (
                f'repository name "{name}" invalid: repository name must not be more than '
                f"{MAX_NAME_LENGTH} characters"
            )
            raise UNKNOWN(detail(self._profile, text, {"Name": name, "Reason": {}}))

    # -- errors ------------------------------------------------------------------------------------
    def _failure(self, request: Request, error: Exception) -> Response:
        """The response to a request whose handler raised *error*."""
        if isinstance(error, RegistryError):
            cause = error.__cause__
            from_upstream = self._profile.honest_upstream_errors and cause is not None
            # An error that the client did not cause, with the cause that is hidden from it.
            if error.status >= 500 or (from_upstream and error.status != 404):
                level = logging.ERROR if error.status >= 500 else logging.WARNING
                text = "%s %s is answered %d: %s"
                _log.log(level, text, request.method, request.path, error.status, cause or error)
            return self._error(error)
        if isinstance(error, AuthenticationBroken):
            _log.error("client authentication is broken: %s", error)
            if not self._profile.broken_htpasswd_is_unavailable:
                return Response(400)
            return self._error(UNAVAILABLE("client authentication is broken"))
        full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
        if full and self._profile.reports_full_disk:
            _log.error("%s %s: %s", request.method, request.path, error)
            return self._error(STORAGE_FULL())
        _log.error("error in %s %s", request.method, request.path, exc_info=error)
        return self._error(UNKNOWN(detail(self._profile, str(error))))

    def _error(self, error: RegistryError) -> Response:
        return json_response(error.body(), self._profile, error.status, *error.headers)

    def _moved(self, request: Request, moved: Moved) -> Response:
        """301. Go's router sends a body only if a slash at the end was missing or superfluous."""
        query = f"?{request.query_string}" if request.query_string else ""
        # As Go's url.URL.String: neither a backslash, which browsers read as a slash, nor a line
        # break (CWE-601, CWE-113).
        target = prefixed(quote(moved.path, safe="/$&+,:;=@-_.~"), self._config.http) + query
        if moved.cleaned or request.method not in {"GET", "HEAD"}:
            return Response(301, (("Location", target),))
        content = f'<a href="{html.escape(target)}">Moved Permanently</a>.\n\n'
        headers = (("Content-Type", "text/html; charset=utf-8"), ("Location", target))
        return Response(301, headers, BytesBody(content.encode()))


def access_needed(request: Request, route: Route, name: str) -> list[Access]:
    """The permissions that *request* needs (distribution's ``appendAccessRecords``).

    *name* is the name that the repository is stored under. Empty for ``/v2/`` and for a repository
    that cannot exist: every authenticated client may access those.
    """
    if route.resource == "catalog":
        return [Access("registry", "catalog", "*")]
    if not name:
        return []
    access = [Access("repository", name, action) for action in _ACTIONS.get(request.method, ())]
    source = request.query("from")
    if source:
        access.append(Access("repository", source, "pull"))
    return access


async def _dispatch(resource: str, context: Context) -> Response:
    """Call the handler of *resource* for the request's method. Without one, the response lists the
    methods: 200 for OPTIONS, otherwise 405. Read-only maintenance disables the writing methods.
    """
    handlers, method = RESOURCES[resource], context.request.method
    if context.config.storage.readonly:
        handlers = {each: handlers[each] for each in handlers if each in {"GET", "HEAD", "*"}}
    handler = handlers.get(method) or handlers.get("*")
    if handler is not None:
        return await handler(context)
    if resource == "blob_upload_chunk":
        await session_of(context)  # An unknown session is reported first.
    allow = ("Allow", ", ".join(sorted(handlers)))
    if method == "OPTIONS":
        return Response(200, (allow,))
    return _plain_text(405, "Method not allowed\n", allow)


def _plain_text(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """A response as Go's ``http.Error`` makes it, without an OCI error body."""
    plain = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
    return Response(status, (*plain, *headers), BytesBody(text.encode()))
