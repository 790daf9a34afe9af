"""How upstream's challenges are answered: Basic and Bearer, with or without credentials.

Releases fetch a token per client request. ``ideal`` keeps the tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import httpx

from reference_registry.clock import Clock
from reference_registry.profiles import Profile
from reference_registry.proxy.tasks import SingleFlight
from reference_registry.proxy.upstream.challenge import (
    Challenge,
    Token,
    TokenUnusable,
    parse_token,
    token_query,
)
from reference_registry.proxy.upstream.credentials import CredentialHelper, Credentials
from reference_registry.proxy.upstream.errors import UpstreamBroken, UpstreamRefused
from reference_registry.proxy.upstream.ssrf import parse_target, trusts_realm

_log = logging.getLogger(__name__)

_ABSENT = frozenset({404, 410})

Fetch = Callable[[httpx.URL, str | None], Awaitable[bytes]]
"""GET a URL with this ``Authorization`` header or none, and return the body of the answer."""


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
        self.tokens: dict[str, Token] = {}
        self._joined: SingleFlight[str, Token] = SingleFlight()
        self._distrusted: set[str] = set()
        self._realms_of_start: frozenset[str] | None = None

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
        for scope in [s for s, token in self.tokens.items() if token.expires <= now]:
            del self.tokens[scope]


@dataclass(frozen=True)
class AuthSession:
    """Authorization of the requests for one repository that one client request needs."""

    auth: UpstreamAuth
    scope: str
    tokens: dict[str, Token]

    async def authorization(self) -> str | None:
        """The ``Authorization`` of the next request, or None."""
        return await self.auth.authorization(self.scope, self.tokens)

    async def refused(self, sent: str | None, challenges: tuple[Challenge, ...]) -> str | None:
        """After a 401 to a request that carried *sent*: another ``Authorization`` to try, or None.

        Several requests refused for one expired token fetch one new token among them.
        """
        self.auth.learn(challenges)
        token = self.tokens.get(self.scope)
        if token is not None and sent == f"Bearer {token.value}":
            del self.tokens[self.scope]
        fresh = await self.authorization()
        return fresh if fresh != sent else None
