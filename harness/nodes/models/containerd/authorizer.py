"""Challenges, the answers to them, and the tokens of one client in one step of a pull.

The challenge of each host (name and port) is kept until the step is over. Tokens, and failures to
get one, are kept for each host and scope. Protocol:
https://distribution.github.io/distribution/spec/auth/token/ and .../oauth/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

from harness.nodes.models.containerd.plan import (
    HttpClient,
    ModelExchange,
    RequestFailed,
    unexpected_status,
)
from harness.nodes.models.containerd.pullers import CredentialError
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.go_url import GoURL, InvalidURL, parse_url
from harness.nodes.models.network import ClientRequest, Login, basic_authorization
from harness.nodes.models.registry_api import ParsedChallenge, parse_challenges

_POST_IS_UNKNOWN = {400, 401, 404}
"""Statuses after which the token is requested with GET: the server does not support POST."""


@dataclass
class _Answer:
    """The answer to a host's challenge: Basic without a realm, else a token from there."""

    login: Login
    realm: GoURL | None = None
    service: str = ""
    scopes: tuple[str, ...] = ()
    tokens: dict[tuple[str, ...], str | RequestFailed] = field(default_factory=dict)


class Authorizer:
    """Answers the challenges to requests of one client; *ask* sends a request to a token server
    for a reason."""

    def __init__(
        self,
        client: HttpClient,
        release: Release,
        ask: Callable[[ClientRequest, str], ModelExchange],
    ) -> None:
        self._client = client
        self._release = release
        self._ask = ask
        self._hosts: dict[str, _Answer] = {}

    def authorize(self, request: ClientRequest, scope: str) -> ClientRequest:
        """*request* with the credentials its host required before. Raises
        :class:`RequestFailed`."""
        known = self._hosts.get(request.host)
        if known is None:
            return request
        if known.realm is None:
            value = basic_authorization(f"{known.login.user}:{known.login.secret}")
        else:
            value = f"Bearer {self._token(known, known.realm, request.host, scope)}"
        return replace(request, headers={**request.headers, "Authorization": (value,)})

    def describe(self, host: str) -> str:
        """The credentials for *host* and their origin, in words."""
        if host not in self._hosts:
            return "no credentials"
        known = self._hosts[host]
        login = known.login
        if known.realm is None:
            return f"Basic as {login.user} ({login.origin})"
        if not login.secret:
            return "an anonymous token"
        return f"a token for {login.user or 'the identity token'} ({login.origin})"

    # -- challenges -----------------------------------------------------------------------------
    def learn(self, exchanges: Sequence[ModelExchange]) -> bool:
        """Handle the last answer, a 401; returns whether to retry.

        Raises :class:`RequestFailed` if containerd gives up this host at once.
        """
        last = exchanges[-1]
        host = last.request.host
        for challenge in parse_challenges(last.response.header_lines("WWW-Authenticate")):
            if challenge.scheme == "bearer":
                self._reject_refused_token(challenge, exchanges)
                if host not in self._hosts:
                    self._hosts[host] = self._bearer(challenge, host)
                return True
            if challenge.scheme == "basic":
                login = self._login(host)
                if login.user and login.secret:
                    self._hosts[host] = _Answer(login)
                    return True
                if self._release.basic_needs_credentials:
                    text = "authorization failed: no basic auth credentials"
                    raise RequestFailed(text, 401, denied=True)
        return False

    def _reject_refused_token(
        self, challenge: ParsedChallenge, exchanges: Sequence[ModelExchange]
    ) -> None:
        error = challenge.parameters.get("error", "")
        last = exchanges[-1].request
        is_repeated = len(exchanges) > 1 and exchanges[-2].request == replace(
            last, headers=exchanges[-2].request.headers
        )
        if error and (is_repeated or self._release.renews_refused_token):
            self._hosts.pop(last.host, None)
        if error and is_repeated:
            text = f"server message: {error}: authorization failed"
            raise RequestFailed(text, 401, denied=True)

    def _login(self, host: str) -> Login:
        try:
            return self._client.login_for(host)
        except CredentialError as error:
            raise RequestFailed(str(error)) from None

    def _bearer(self, challenge: ParsedChallenge, host: str) -> _Answer:
        login = self._login(host)
        realm, scope = (challenge.parameters.get(name) for name in ("realm", "scope"))
        if realm is None:
            raise RequestFailed("no realm specified for token auth challenge")
        try:
            url = parse_url(realm)
        except InvalidURL as error:
            text = f'invalid token auth challenge realm: parse "{realm}": {error}'
            raise RequestFailed(text) from None
        scopes = () if scope is None else tuple(scope.split(" "))
        return _Answer(login, url, challenge.parameters.get("service", ""), scopes)

    # -- tokens ---------------------------------------------------------------------------------
    def _token(self, known: _Answer, realm: GoURL, host: str, scope: str) -> str:
        scopes = tuple(sorted({scope, *known.scopes}))
        if scopes not in known.tokens:
            try:
                known.tokens[scopes] = self._fetched(known, realm, host, scopes)
            except RequestFailed as failed:
                failed.text = failed.text.removeprefix("failed to do request: ")
                kind = "oauth" if known.login.secret else "anonymous"
                known.tokens[scopes] = failed.within(f"failed to fetch {kind} token: ")
        token = known.tokens[scopes]
        if isinstance(token, RequestFailed):
            raise token
        return token

    def _fetched(self, known: _Answer, realm: GoURL, host: str, scopes: tuple[str, ...]) -> str:
        login, whose = known.login, "an anonymous token"
        query = parse_qsl(realm.query, keep_blank_values=True)
        headers = dict(self._client.token_headers)
        post = ClientRequest(
            "POST", realm.scheme, realm.host, realm.path or "/", tuple(query), headers
        )
        if login.secret:
            post = replace(post, form=_form(known, scopes))
            exchange = self._ask(post, f"a token for {host}, as {login.origin} says")
            status = exchange.response.status
            knows_no_post = status in _POST_IS_UNKNOWN or (status == 405 and login.user)
            if not knows_no_post:
                return self._issued(exchange, ("access_token",))
            credentials = basic_authorization(f"{login.user}:{login.secret}")
            headers = {**headers, "Authorization": (credentials,)}
            whose = "a token with Basic"
        if known.service:
            query.append(("service", known.service))
        query += [("scope", scope) for scope in scopes]
        query.sort(key=lambda pair: pair[0])
        get = replace(post, method="GET", query=tuple(query), headers=headers, form=())
        exchange = self._ask(get, f"{whose} for {host}, whose challenge names this realm")
        return self._issued(exchange, ("access_token", "token"))

    def _issued(self, exchange: ModelExchange, names: tuple[str, ...]) -> str:
        response = exchange.response
        if not 200 <= response.status < 400:
            text = unexpected_status(exchange.request, replace(response, body=b""), self._release)
            raise RequestFailed(text, response.status)
        try:
            document = json.loads(response.body)
            tokens = [document.get(key) for key in names]
        except (ValueError, AttributeError, RecursionError):
            raise RequestFailed("unable to decode token response") from None
        for token in tokens:
            if isinstance(token, str) and token:
                return token
        text = "authorization server did not include a token in the response"
        raise RequestFailed(text)


def _form(known: _Answer, scopes: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The urlencoded body of a POST for a token."""
    user, secret = known.login.user, known.login.secret
    form = {"client_id": "containerd-client", "scope": " ".join(scopes), "service": known.service}
    if user:
        form |= {"grant_type": "password", "username": user, "password": secret}
    else:
        form |= {"grant_type": "refresh_token", "refresh_token": secret}
    return tuple(sorted(form.items()))
