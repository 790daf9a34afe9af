"""One upstream registry: its URL, and sending one request to it: credentials, redirects, a retry,
and failures as values.

Credentials go to the origin they were meant for and nowhere else; redirects are followed hop by hop
by this module, so that each target is checked first (the SSRF policy, ``ssrf``).

Releases of distribution ask ``GET /v2/`` for the challenge before an operation. ``ideal`` sends the
request, is refused once, and from then on knows the challenge.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import httpx

from reference_registry.clock import Clock
from reference_registry.config import UpstreamConfig
from reference_registry.config.problem import CannotStart
from reference_registry.profiles import Profile
from reference_registry.proxy.upstream.auth import AuthSession, UpstreamAuth
from reference_registry.proxy.upstream.challenge import Challenge, parse_challenges
from reference_registry.proxy.upstream.credentials import CredentialHelper, Credentials
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
    is_web_url,
    parse_target,
    same_origin,
    target_problem,
)

MARKER = "/.pullproof/offline"
"""Storage path of the file that turns offline mode on. Its content does not matter; distribution
ignores it."""
_LOOK = 1.0  # seconds of real time between two looks at the file

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONNECT = 10.0
"""Seconds; the limit for a connection."""
_TIMEOUTS_OF_GO = httpx.Timeout(None, connect=30.0).as_dict()
_RESOLVE_TIMEOUT = 10.0
"""Seconds. Clients of a cached tag are better served soon with a stale manifest than late with a
current one (#3705), and a healthy registry answers HEAD in less than a second."""
_MAX_TOKEN = 1024 * 1024  # bytes of a token server's answer

_log = logging.getLogger(__name__)


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


class Upstream:
    """One upstream registry, and the hosts that it refers us to. *key* is its key in the
    configuration.

    Tests replace *transport* and *resolve*. *answered* is called with method, status (None: no
    answer) and the seconds until the answer began. Nothing is sent while *offline* is on. Upstream
    may be silent for *timeout* seconds, before its answer and within.
    """

    def __init__(
        self,
        config: UpstreamConfig,
        profile: Profile,
        clock: Clock,
        *,
        key: str = "proxy",
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve = addresses_of,
        answered: Callable[[str, int | None, float], None] = lambda method, status, seconds: None,
        offline: Offline | None = None,
        timeout: float = 60.0,
    ) -> None:
        url = _parse_remote(config.remoteurl, f"{key}.remoteurl")
        self.key = key
        self._base = origin = url.copy_with(userinfo=b"", path="/", query=None, fragment=None)
        self._remoteurl = str(url.copy_with(userinfo=b""))
        self._api = origin.copy_with(path=url.path) if profile.honours_remote_path else origin
        self.profile = profile
        self.resolve_timeout = min(timeout, _RESOLVE_TIMEOUT) if profile.upstream_timeouts else None
        """Seconds to wait for the digest of a tag that is cached; None: no limit."""
        bounded = httpx.Timeout(timeout, connect=min(timeout, _CONNECT)).as_dict()
        self._timeouts = bounded if profile.upstream_timeouts else _TIMEOUTS_OF_GO
        self._transport = transport
        self._local_hosts = config.local_hosts
        self._addresses: TargetAddresses | None = None
        if profile.restricts_targets and (transport is None or resolve is not addresses_of):
            self._addresses = TargetAddresses(host_in(origin), config.local_hosts, resolve)
        self._answered = answered
        self._offline = offline if offline is not None else Offline()
        self._ping_lock = asyncio.Lock()
        self._pings: set[asyncio.Task[None]] = set()
        self._helper = CredentialHelper(config.exec, clock) if config.exec is not None else None
        self.auth = UpstreamAuth(
            origin,
            self._helper or _credentials(config, url),
            profile=profile,
            clock=clock,
            fetch=self.fetch,
        )

    @cached_property
    def _connections(self) -> httpx.AsyncBaseTransport:
        if self._transport is not None:
            return self._transport
        # Created on first use: the import takes longer than the rest of the start.
        from reference_registry.proxy.upstream.transport import NetworkTransport

        return NetworkTransport(self._addresses)

    async def aclose(self) -> None:
        """Close all connections."""
        for ping in self._pings:
            ping.cancel()
        if self._helper is not None:
            await self._helper.stop()
        if "_connections" in self.__dict__:
            await self._connections.aclose()

    def url(self, path: str) -> httpx.URL:
        """The URL of *path*, such as ``/v2/``, which may have a query."""
        return httpx.URL(str(self._api).rstrip("/") + path)

    def session(self, repository: str) -> AuthSession:
        """Authorization to pull *repository*, for one client request. If the profile keeps no
        tokens, the session keeps its own."""
        tokens = self.auth.tokens if self.profile.caches_upstream_tokens else {}
        return AuthSession(self.auth, f"repository:{repository}:pull", tokens)

    async def send(
        self,
        method: str,
        url: httpx.URL,
        *,
        headers: Mapping[str, str] | None = None,
        session: AuthSession,
    ) -> httpx.Response:
        """The open successful response, which the caller has to close.

        Raises :class:`UpstreamFailure`. If upstream challenges the request, it is sent once more
        with the credentials that the challenge asks for, where the profile does so.
        """
        self._offline.check()
        authorization = await self._authorization(method, url, session)
        response = await self._follow(method, url, headers or {}, authorization)
        if response.status_code == 401 and self._answers(response):
            try:
                better = await session.refused(authorization, _challenges_of(response))
            except BaseException:
                await response.aclose()
                raise
            if better is not None:
                await discard(response)
                response = await self._follow(method, url, headers or {}, better)
        if not self._succeeded(response):
            raise await refused(method, response)
        return response

    async def _authorization(self, method: str, url: httpx.URL, session: AuthSession) -> str | None:
        if not self.auth.challenges:
            return None
        try:
            return await session.authorization()
        except UpstreamFailure as failure:
            if self.profile.honest_upstream_errors:
                raise
            raise NoToken(method, without_query(url), failure) from failure

    def _succeeded(self, response: httpx.Response) -> bool:
        return response.is_success or (
            self.profile.takes_redirects_for_success and 300 <= response.status_code < 400
        )

    def _answers(self, refusal: httpx.Response) -> bool:
        """Whether the challenge of *refusal* may be answered."""
        return not self.profile.pings_anonymous_upstream_every_time and same_origin(
            refusal.url, self._base
        )

    async def fetch(self, url: httpx.URL, authorization: str | None) -> bytes:
        """The body, at most 1 MiB, of a GET of *url*, which upstream named."""
        self._offline.check()
        await self._check_target("GET", url)
        response = await self._follow("GET", url, {}, authorization)
        if not self._succeeded(response):
            raise await refused("GET", response)
        return await read_body(response, _MAX_TOKEN)

    # -- pings ------------------------------------------------------------------------------------
    async def ping_at_start(self) -> None:
        """``GET <remoteurl>/v2/``; :class:`CannotStart` if no answer comes."""
        try:
            response = await self._ping(httpx.URL(f"{self._remoteurl}/v2/"))
        except UpstreamFailure as failure:
            raise CannotStart(
                "proxy.remoteurl",
                f"upstream does not answer ({failure})",
                "start it first, or correct the URL",
                released_exit_code=2,
            ) from failure
        self.auth.learn_at_start(_challenges_of(response))

    async def establish_challenge(self) -> None:
        """Ping ``GET /v2/``, as releases do before each operation, unless upstream is known to ask
        for credentials. One ping at a time; it continues if its client leaves."""
        if self.auth.challenges or not self.profile.pings_anonymous_upstream_every_time:
            return
        ping = asyncio.ensure_future(self._learn_challenge())
        self._pings.add(ping)
        ping.add_done_callback(self._pings.discard)
        await asyncio.shield(ping)

    async def _learn_challenge(self) -> None:
        async with self._ping_lock:
            if self.auth.challenges:
                return
            response = await self._ping(self.url("/v2/"))
            if response.status_code == 401:
                self.auth.learn(_challenges_of(response))

    async def _ping(self, url: httpx.URL) -> httpx.Response:
        """The response to an unauthenticated GET, with any status, read and closed."""
        last = not self.profile.keeps_connection_of_ping
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
            sent = {"User-Agent": self.profile.upstream_user_agent, **headers}
            if authorization is not None and same_origin(first, url):
                sent["Authorization"] = authorization
            elif url.userinfo and not self.profile.restricts_targets:
                # Go sends the credentials that a redirect names.
                sent["Authorization"] = Credentials(url.username, url.password).basic
            response = await self._exchange(method, url, sent, last=last)
            location = response.headers.get("location", "")
            if response.status_code not in _REDIRECTS or not location:
                return response
            await discard(response)
            target = _redirected(method, url, location)
            redirects += 1
            if redirects > self.profile.upstream_redirects:
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
            if not self.profile.retries_upstream:
                raise
        # Random, so that requests that failed together are not retried together.
        await asyncio.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - not a secret
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
            raise UpstreamTimedOut(method, without_query(url), cause_of(error, request)) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise UpstreamUnreachable(
                method, without_query(url), cause_of(error, request)
            ) from error
        finally:
            self._answered(method, status, time.perf_counter() - began)

    async def _check_target(self, method: str, target: httpx.URL) -> None:
        if not self.profile.restricts_targets:
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


def _challenges_of(response: httpx.Response) -> tuple[Challenge, ...]:
    return parse_challenges(response.headers.get_list("www-authenticate"))


def _parse_remote(remoteurl: str, key: str) -> httpx.URL:
    try:
        url = httpx.URL(remoteurl)
    except httpx.InvalidURL as error:
        problem = str(error)
    else:
        if is_web_url(url):
            return url
        problem = "it is not an http or https URL"
    raise CannotStart(key, problem, "write https://HOST or http://HOST:PORT", released_exit_code=2)


def _credentials(config: UpstreamConfig, remote: httpx.URL) -> Credentials | None:
    if config.username:
        return Credentials(config.username, config.password or "")
    # As Go's client does with a user in a URL.
    return Credentials(remote.username, remote.password) if remote.username else None
