"""One upstream registry: its URL, connections and credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx

from reference_registry.clock import Clock
from reference_registry.config import UpstreamConfig
from reference_registry.config.problem import CannotStart
from reference_registry.profiles import Profile
from reference_registry.proxy.upstream.auth import UpstreamAuth
from reference_registry.proxy.upstream.challenge import Challenge, parse_challenges
from reference_registry.proxy.upstream.credentials import CredentialHelper, Credentials
from reference_registry.proxy.upstream.errors import UpstreamFailure
from reference_registry.proxy.upstream.http import Answered, UpstreamHttp
from reference_registry.proxy.upstream.ssrf import Resolve, is_web_url

__all__ = ["Upstream"]

_RESOLVE_TIMEOUT = 10.0
"""Seconds. Clients of a cached tag are better served soon with a stale manifest than late with a
current one (#3705), and a healthy registry answers HEAD in less than a second."""
_MAX_TOKEN = 1024 * 1024


class Upstream:
    """One upstream registry. *key* is its key in the configuration. The other parameters are those
    of :class:`UpstreamHttp`."""

    def __init__(
        self,
        config: UpstreamConfig,
        profile: Profile,
        clock: Clock,
        *,
        key: str = "proxy",
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve | None = None,
        answered: Answered | None = None,
        gate: Callable[[], None] | None = None,
        timeout: float = 60.0,
    ) -> None:
        url = _parse_remote(config.remoteurl, f"{key}.remoteurl")
        self.key = key
        origin = url.copy_with(userinfo=b"", path="/", query=None, fragment=None)
        self._remoteurl = str(url.copy_with(userinfo=b""))
        self._api = origin.copy_with(path=url.path) if profile.honours_remote_path else origin
        self.profile = profile
        self.resolve_timeout = min(timeout, _RESOLVE_TIMEOUT) if profile.upstream_timeouts else None
        """Seconds to wait for the digest of a tag that is cached; None: no limit."""
        self._ping_lock = asyncio.Lock()
        self._pings: set[asyncio.Task[None]] = set()
        self.http = UpstreamHttp(
            origin,
            profile,
            transport=transport,
            resolve=resolve,
            answered=answered,
            gate=gate,
            timeout=timeout,
            local_hosts=config.local_hosts,
        )
        self._helper = CredentialHelper(config.exec, clock) if config.exec is not None else None
        self.auth = UpstreamAuth(
            origin,
            self._helper or _credentials(config, url),
            profile=profile,
            clock=clock,
            fetch=self._fetch_token,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        for ping in self._pings:
            ping.cancel()
        if self._helper is not None:
            await self._helper.stop()
        await self.http.aclose()

    def url(self, path: str) -> httpx.URL:
        """The URL of *path*, such as ``/v2/``, which may have a query."""
        return httpx.URL(str(self._api).rstrip("/") + path)

    async def ping_at_start(self) -> None:
        """``GET <remoteurl>/v2/``; :class:`CannotStart` if no answer comes."""
        try:
            response = await self.http.ping(httpx.URL(f"{self._remoteurl}/v2/"))
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
        ping = asyncio.ensure_future(self._ping())
        self._pings.add(ping)
        ping.add_done_callback(self._pings.discard)
        await asyncio.shield(ping)

    async def _ping(self) -> None:
        async with self._ping_lock:
            if self.auth.challenges:
                return
            response = await self.http.ping(self.url("/v2/"))
            if response.status_code == 401:
                self.auth.learn(_challenges_of(response))

    async def _fetch_token(self, url: httpx.URL, authorization: str | None) -> bytes:
        return await self.http.fetch(url, authorization, limit=_MAX_TOKEN)


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
