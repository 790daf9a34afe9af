"""Sending one request to upstream: credentials, redirects, a retry, and failures as values.

Credentials go to the origin they were meant for and nowhere else; redirects are followed hop by hop
by this module, so that each target is checked first (the SSRF policy, ``ssrf``).
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

import httpx

from reference_registry.profiles import Profile
from reference_registry.proxy.upstream.challenge import Challenge, parse_challenges
from reference_registry.proxy.upstream.credentials import Credentials
from reference_registry.proxy.upstream.errors import (
    NoToken,
    UpstreamBroken,
    UpstreamFailure,
    UpstreamOffline,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from reference_registry.proxy.upstream.responses import (
    cause_of,
    discard,
    location_in_words,
    read_body,
    refused,
    request_name,
    without_query,
)
from reference_registry.proxy.upstream.ssrf import (
    Resolve,
    TargetAddresses,
    addresses_of,
    host_in,
    parse_target,
    same_origin,
    target_problem,
)

__all__ = ["MARKER", "Answered", "Authorizer", "Offline", "Resolve", "UpstreamHttp"]

MARKER = "/.pullproof/offline"
"""Storage path of the file that turns offline mode on. Its content does not matter; distribution
ignores it."""
_LOOK = 1.0  # seconds of real time between two looks at the file

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONNECT = 10.0
"""Seconds; the limit for a connection."""
_TIMEOUTS_OF_GO = httpx.Timeout(None, connect=30.0).as_dict()

Answered = Callable[[str, int | None, float], None]
"""Called with method, status (None: no answer) and the seconds until the answer began."""


_log = logging.getLogger(__name__)


class Authorizer(Protocol):
    """What authorizes the requests for one repository."""

    async def authorization(self) -> str | None:
        """The ``Authorization`` of the next request, or None."""
        ...

    async def refused(self, sent: str | None, challenges: tuple[Challenge, ...]) -> str | None:
        """After a 401 to a request that carried *sent*: another ``Authorization``, or None."""
        ...


class Offline:
    """Offline mode: the cache does not ask upstream. On if *always* (``proxy.x-offline``), or while
    the file *marker* exists, without a restart. No marker: the storage is in memory."""

    def __init__(self, always: bool = False, marker: Path | None = None) -> None:
        self._always = always
        self._marker = marker
        self._was = False

    def __bool__(self) -> bool:
        """Whether upstream must not be asked now. Logs a change."""
        now = self._always or (self._marker is not None and self._marker.exists())
        if now != self._was:
            self._was = now
            _log.warning(
                "offline: cached content is served, upstream is not asked, nothing expires"
                if now
                else "online again"
            )
        return now

    async def is_over(self) -> None:
        """Wait until upstream may be asked."""
        while self:  # noqa: ASYNC110 - a file sets no event
            await asyncio.sleep(_LOOK)

    def check(self) -> None:
        """Call this before anything is sent. Raises :class:`UpstreamOffline`."""
        if self:
            raise UpstreamOffline("upstream is not asked: this cache is offline")


@cache
def _trusted_authorities() -> ssl.SSLContext:
    """The system's, or those of ``SSL_CERT_FILE``; read once, since that takes a while."""
    trusted = httpx.create_ssl_context()
    trusted.set_alpn_protocols(["http/1.1"])
    return trusted


class UpstreamHttp:
    """An HTTP client for one upstream and the hosts that it refers us to.

    *base* is the origin that credentials are for. Tests replace *transport* and *resolve*. *pause*
    is awaited before a request without an answer is retried. Nothing is sent while *offline* is on.
    Upstream may refer to *local_hosts*, although they are in our own network, and be silent for
    *timeout* seconds, before its answer and within.
    """

    def __init__(
        self,
        base: httpx.URL,
        profile: Profile,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve | None = None,
        pause: Callable[[], Awaitable[None]] | None = None,
        answered: Answered | None = None,
        offline: Offline | None = None,
        local_hosts: Collection[str] = (),
        timeout: float = 60.0,
    ) -> None:
        self._base = base
        bounded = httpx.Timeout(timeout, connect=min(timeout, _CONNECT)).as_dict()
        self._timeouts = bounded if profile.upstream_timeouts else _TIMEOUTS_OF_GO
        self._profile = profile
        self._transport = transport
        self._local_hosts = local_hosts
        self._addresses: TargetAddresses | None = None
        if profile.restricts_targets and (transport is None or resolve is not None):
            resolve = resolve or addresses_of
            self._addresses = TargetAddresses(host_in(base), local_hosts, resolve)
        self._pause = pause or _short_pause
        self._answered = answered or (lambda method, status, seconds: None)
        self._offline = offline if offline is not None else Offline()

    @cached_property
    def _connections(self) -> httpx.AsyncBaseTransport:
        if self._transport is not None:
            return self._transport
        # Created on first use: the import takes longer than the rest of the start.
        from reference_registry.proxy.upstream.transport import NetworkTransport

        return NetworkTransport(_trusted_authorities, self._addresses)

    async def aclose(self) -> None:
        """Close all connections."""
        if "_connections" in self.__dict__:
            await self._connections.aclose()

    async def send(
        self,
        method: str,
        url: httpx.URL,
        *,
        headers: Mapping[str, str] | None = None,
        session: Authorizer | None = None,
    ) -> httpx.Response:
        """The open successful response, which the caller has to close.

        Raises :class:`UpstreamFailure`. If upstream challenges the request, it is sent once more
        with the credentials that the challenge asks for, where the profile does so.
        """
        self._offline.check()
        authorization = await self._authorization(method, url, session)
        response = await self._follow(method, url, headers or {}, authorization)
        if response.status_code == 401 and session is not None and self._answers(response):
            challenges = parse_challenges(response.headers.get_list("www-authenticate"))
            try:
                better = await session.refused(authorization, challenges)
            except BaseException:
                await response.aclose()
                raise
            if better is not None:
                await discard(response)
                response = await self._follow(method, url, headers or {}, better)
        if not self._succeeded(response):
            raise await refused(method, response)
        return response

    async def _authorization(
        self, method: str, url: httpx.URL, session: Authorizer | None
    ) -> str | None:
        if session is None:
            return None
        try:
            return await session.authorization()
        except UpstreamFailure as failure:
            if self._profile.honest_upstream_errors:
                raise
            raise NoToken(method, without_query(url), failure) from failure

    def _succeeded(self, response: httpx.Response) -> bool:
        return response.is_success or (
            self._profile.takes_redirects_for_success and 300 <= response.status_code < 400
        )

    def _answers(self, refusal: httpx.Response) -> bool:
        """Whether the challenge of *refusal* may be answered."""
        return not self._profile.pings_anonymous_upstream_every_time and same_origin(
            refusal.url, self._base
        )

    async def fetch(self, url: httpx.URL, authorization: str | None, *, limit: int) -> bytes:
        """The body, at most *limit* bytes, of a GET of *url*, which upstream named."""
        self._offline.check()
        await self._check_target("GET", url)
        response = await self._follow("GET", url, {}, authorization)
        if not self._succeeded(response):
            raise await refused("GET", response)
        return await read_body(response, limit)

    async def ping(self, url: httpx.URL) -> httpx.Response:
        """The response to an unauthenticated GET, with any status, read and closed."""
        last = not self._profile.keeps_connection_of_ping
        response = await self._follow("GET", url, {}, None, last=last)
        await discard(response)
        return response

    # -- redirects and retries --------------------------------------------------------------------
    async def _follow(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        authorization: str | None,
        *,
        last: bool = False,
    ) -> httpx.Response:
        """The first response that is not a redirect. *authorization* is sent to the origin of *url*
        only. *last*: the connection is not reused."""
        first, redirects = url, 0
        while True:
            sent = {"User-Agent": self._profile.upstream_user_agent, **headers}
            if authorization is not None and same_origin(first, url):
                sent["Authorization"] = authorization
            elif url.userinfo and not self._profile.restricts_targets:
                # Go sends the credentials that a redirect names.
                sent["Authorization"] = Credentials(url.username, url.password).basic
            response = await self._exchange(method, url, sent, last=last)
            location = response.headers.get("location", "")
            if response.status_code not in _REDIRECTS or not location:
                return response
            await discard(response)
            target = _redirected(method, url, location)
            redirects += 1
            if redirects > self._profile.upstream_redirects:
                cause = f"stopped after {redirects} redirects"
                raise UpstreamUnreachable(method, location_in_words(location), cause)
            await self._check_target(method, target)
            url = target

    async def _exchange(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], *, last: bool
    ) -> httpx.Response:
        try:
            return await self._exchange_once(method, url, headers, last=last)
        except UpstreamTimedOut:
            raise
        except UpstreamUnreachable:
            if not self._profile.retries_upstream:
                raise
        await self._pause()
        return await self._exchange_once(method, url, headers, last=last)

    async def _exchange_once(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], *, last: bool
    ) -> httpx.Response:
        # Without httpx's client, which keeps cookies and takes as much time as the exchange.
        extensions = {"timeout": self._timeouts, "last": last}
        request = httpx.Request(method, url, headers=headers, extensions=extensions)
        began, status = time.perf_counter(), None
        try:
            response = await self._connections.handle_async_request(request)
            response.request = request
            status = response.status_code
            return response
        except httpx.TimeoutException as error:
            raise UpstreamTimedOut(method, without_query(url), cause_of(error, url)) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            cause = cause_of(error, url, request.extensions.get("ends", (None, None)))
            raise UpstreamUnreachable(method, without_query(url), cause) from error
        finally:
            self._answered(method, status, time.perf_counter() - began)

    async def _check_target(self, method: str, target: httpx.URL) -> None:
        if not self._profile.restricts_targets:
            return
        problem = target_problem(self._base, target, self._local_hosts)
        if problem is None and self._addresses is not None and not same_origin(target, self._base):
            problem = await self._addresses.problem(host_in(target))
        if problem is not None:
            raise UpstreamBroken(f"{request_name(method, target)}: refused to go there: {problem}")


def _redirected(method: str, url: httpx.URL, location: str) -> httpx.URL:
    """The target of *location*, relative to *url*; :class:`UpstreamUnreachable` if invalid."""
    target = parse_target(location, url)
    if target is not None:
        return target
    scheme, colon, _ = location.partition(":")
    if colon and scheme.isalpha() and scheme not in {"http", "https"}:
        cause = f'unsupported protocol scheme "{scheme[:20]}"'
        raise UpstreamUnreachable(method, location_in_words(location), cause)
    cause = f'failed to parse Location header "{location_in_words(location)}"'
    raise UpstreamUnreachable(method, without_query(url), cause)


async def _short_pause() -> None:
    # Random, so that requests that failed together are not retried together.
    await asyncio.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - not a secret
