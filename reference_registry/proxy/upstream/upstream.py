"""One upstream registry: its URL, its connections, and how its challenges are answered - Basic and
Bearer, with or without credentials.

Releases of distribution ask ``GET /v2/`` for the challenge before an operation and fetch a token
per client request. ``ideal`` sends the request, is refused once, and from then on knows the
challenge and keeps the tokens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

import httpx

from reference_registry.clock import Clock
from reference_registry.config import UpstreamConfig
from reference_registry.config.problem import CannotStart
from reference_registry.profiles import Profile
from reference_registry.proxy.tasks import SingleFlight
from reference_registry.proxy.upstream.challenge import (
    Challenge,
    Token,
    TokenUnusable,
    parse_challenges,
    parse_token,
    token_query,
)
from reference_registry.proxy.upstream.credentials import CredentialHelper, Credentials
from reference_registry.proxy.upstream.errors import (
    UpstreamBroken,
    UpstreamFailure,
    UpstreamRefused,
)
from reference_registry.proxy.upstream.http import Answered, Offline, UpstreamHttp
from reference_registry.proxy.upstream.ssrf import Resolve, is_web_url, parse_target, trusts_realm

__all__ = ["Upstream"]

_RESOLVE_TIMEOUT = 10.0
"""Seconds. Clients of a cached tag are better served soon with a stale manifest than late with a
current one (#3705), and a healthy registry answers HEAD in less than a second."""
_MAX_TOKEN = 1024 * 1024

_log = logging.getLogger(__name__)

_ABSENT = frozenset({404, 410})

Fetch = Callable[[httpx.URL, str | None], Awaitable[bytes]]
"""GET a URL with this ``Authorization`` header or none, and return the body of the answer."""


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
        offline: Offline | None = None,
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
            offline=offline,
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


# -- answering challenges ------------------------------------------------------------------------
class UpstreamAuth:
    """Challenges, credentials and tokens of one upstream, shared by all repositories."""

    def __init__(
        self,
        base: httpx.URL,
        credentials: Credentials | CredentialHelper | None,
        *,
        profile: Profile,
        clock: Clock,
        fetch: Fetch,
    ) -> None:
        self.challenges: tuple[Challenge, ...] = ()
        self._base = base
        self._credentials = credentials
        self._profile = profile
        self._clock = clock
        self._fetch = fetch
        self._tokens: dict[str, Token] = {}
        self._joined: SingleFlight[str, Token] = SingleFlight()
        self._distrusted: set[str] = set()
        self._realms_of_start: frozenset[str] | None = None

    def session(self, repository: str) -> AuthSession:
        """Authorization to pull *repository*, for one client request. If the profile keeps no
        tokens, the session keeps its own."""
        tokens = self._tokens if self._profile.caches_upstream_tokens else {}
        return AuthSession(self, f"repository:{repository}:pull", tokens)

    def learn(self, challenges: Iterable[Challenge]) -> None:
        """Remember *challenges* of a known scheme."""
        usable = tuple(c for c in challenges if c.scheme in {"basic", "bearer"})
        if usable:
            self.challenges = usable

    def learn_at_start(self, challenges: Iterable[Challenge]) -> None:
        """If the profile does so, send credentials only to the token servers of *challenges*, and
        not to others that upstream names later."""
        if self._profile.credentials_only_for_realms_of_start:
            self._realms_of_start = frozenset(c.get("realm") for c in challenges)

    async def authorization(self, scope: str, tokens: dict[str, Token]) -> str | None:
        """The ``Authorization`` for *scope* by the known challenges, or None. Raises
        :class:`UpstreamFailure`."""
        for challenge in self.challenges:
            if challenge.scheme == "bearer":
                realm = self._realm(challenge)
                if realm is not None:
                    token = await self._token(realm, challenge.get("service"), scope, tokens)
                    return f"Bearer {token.value}"
            elif self._profile.upstream_basic_auth:
                credentials = await self._credentials_for(self._base)
                if credentials is not None:
                    return credentials.basic
                if not self._profile.honest_upstream_errors:
                    raise UpstreamBroken("no basic auth credentials")
        return None

    def _realm(self, challenge: Challenge) -> httpx.URL | None:
        realm = parse_target(challenge.get("realm"), self._base)
        if realm is None or not challenge.get("realm"):
            return None
        if self._credentials is None and self._profile.restricts_targets:
            return realm  # No credentials are sent; the target is checked when it is fetched.
        if trusts_realm(self._base, realm, self._profile):
            return realm
        if realm.host not in self._distrusted and len(self._distrusted) < 100:
            self._distrusted.add(realm.host)
            _log.warning("upstream names a token server on another site, %s: not used", realm.host)
        return None

    async def _token(
        self, realm: httpx.URL, service: str, scope: str, tokens: dict[str, Token]
    ) -> Token:
        token = tokens.get(scope)
        if token is not None and self._clock.now() < token.expires:
            return token

        async def fetch() -> Token:
            return await self._fetch_token(realm, service, scope)

        shared = self._profile.caches_upstream_tokens
        token = await (self._joined.run(scope, fetch) if shared else fetch())
        if shared:
            self._drop_expired()
        tokens[scope] = token
        return token

    async def _fetch_token(self, realm: httpx.URL, service: str, scope: str) -> Token:
        known = self._realms_of_start is None or str(realm) in self._realms_of_start
        credentials = await self._credentials_for(realm) if known else None
        query = token_query(
            realm.query.decode("ascii"),
            scope=scope,
            service=service,
            account=credentials.username if credentials is not None else None,
        )
        authorization = credentials.basic if credentials is not None else None
        url = realm.copy_with(query=query.encode("ascii"))
        try:
            body = await self._fetch(url, authorization)
        except UpstreamRefused as refused:
            if refused.status not in _ABSENT or not self._profile.honest_upstream_errors:
                raise
            # The token server is absent, not the content.
            raise UpstreamBroken(str(refused)) from refused
        try:
            return parse_token(body, self._clock.now())
        except TokenUnusable as error:
            raise UpstreamBroken(f"GET {realm.host}: token server: {error}") from None

    async def _credentials_for(self, url: httpx.URL) -> Credentials | None:
        """The credentials for *url*, the realm's or upstream's own."""
        if not isinstance(self._credentials, CredentialHelper):
            return self._credentials
        asked = url if self._profile.helper_is_asked_for_realm else self._base
        return await self._credentials.get(asked.netloc.decode("ascii"))

    def _drop_expired(self) -> None:
        now = self._clock.now()
        for scope in [s for s, token in self._tokens.items() if token.expires <= now]:
            del self._tokens[scope]


class AuthSession:
    """Authorization of requests for one repository."""

    def __init__(self, auth: UpstreamAuth, scope: str, tokens: dict[str, Token]) -> None:
        self._auth = auth
        self._scope = scope
        self._tokens = tokens

    async def authorization(self) -> str | None:
        """The ``Authorization`` of the next request, or None."""
        return await self._auth.authorization(self._scope, self._tokens)

    async def refused(self, sent: str | None, challenges: tuple[Challenge, ...]) -> str | None:
        """After a 401 to a request that carried *sent*: another ``Authorization`` to try, or None.

        Several requests refused for one expired token fetch one new token among them.
        """
        self._auth.learn(challenges)
        token = self._tokens.get(self._scope)
        if token is not None and sent == f"Bearer {token.value}":
            del self._tokens[self._scope]
        fresh = await self.authorization()
        return fresh if fresh != sent else None


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
