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

from harness.nodes.models.containerd.failures import Exchange, RequestFailed, unexpected_status
from harness.nodes.models.containerd.plan import HttpClient
from harness.nodes.models.containerd.pullers import CredentialError
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.go_url import InvalidURL, parse_url
from harness.nodes.models.network import ClientRequest, Login, basic_authorization
from harness.nodes.models.registry_api import ParsedChallenge, parse_challenges

__all__ = ["Authorizer"]

_POST_IS_UNKNOWN = {400, 401, 404}
"""Statuses after which the token is requested with GET: the server does not support POST."""


@dataclass
class _Basic:
    login: Login


@dataclass
class _Bearer:
    login: Login
    realm: str
    service: str
    scopes: tuple[str, ...]
    tokens: dict[tuple[str, ...], str | RequestFailed] = field(default_factory=dict)


class Authorizer:
    """Answers the challenges to requests of one client; *ask* sends a request to a token server
    for a reason."""

    def __init__(
        self,
        client: HttpClient,
        release: Release,
        ask: Callable[[ClientRequest, str], Exchange],
    ) -> None:
        self._client = client
        self._release = release
        self._send = ask
        self._hosts: dict[str, _Basic | _Bearer] = {}

    def authorize(self, request: ClientRequest, scope: str) -> ClientRequest:
        """*request* with the credentials its host required before. Raises
        :class:`RequestFailed`."""
        known = self._hosts.get(request.host)
        if known is None:
            return request
        if isinstance(known, _Basic):
            value = basic_authorization(f"{known.login.user}:{known.login.secret}")
        else:
            value = f"Bearer {self._token(known, request.host, scope)}"
        return replace(request, headers={**request.headers, "Authorization": (value,)})

    def describe(self, host: str) -> str:
        """The credentials for *host* and their origin, in words."""
        match self._hosts.get(host):
            case _Basic(login):
                return f"Basic as {login.user} ({login.origin})"
            case _Bearer(login):
                if not login.secret:
                    return "an anonymous token"
                return f"a token for {login.user or 'the identity token'} ({login.origin})"
        return "no credentials"

    def learn(self, exchanges: Sequence[Exchange]) -> bool:
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
                    self._hosts[host] = _Basic(login)
                    return True
                if self._release.basic_needs_credentials:
                    text = "authorization failed: no basic auth credentials"
                    raise RequestFailed(text, host=host, status=401, denied=True)
        return False

    def _reject_refused_token(
        self, challenge: ParsedChallenge, exchanges: Sequence[Exchange]
    ) -> None:
        error = challenge.parameters.get("error", "")
        if not error:
            return
        host = exchanges[-1].request.host
        if len(exchanges) > 1 and _is_same(exchanges[-2].request, exchanges[-1].request):
            self._hosts.pop(host, None)
            text = f"server message: {error}: authorization failed"
            raise RequestFailed(text, host=host, status=401, denied=True)
        if self._release.renews_refused_token:
            self._hosts.pop(host, None)

    def _login(self, host: str) -> Login:
        try:
            return self._client.login_for(host)
        except CredentialError as error:
            raise RequestFailed(str(error), host=host) from None

    def _bearer(self, challenge: ParsedChallenge, host: str) -> _Bearer:
        login = self._login(host)
        realm = challenge.parameters.get("realm")
        if realm is None:
            raise RequestFailed("no realm specified for token auth challenge", host=host)
        try:
            parse_url(realm)
        except InvalidURL as error:
            text = f'invalid token auth challenge realm: parse "{realm}": {error}'
            raise RequestFailed(text, host=host) from None
        scope = challenge.parameters.get("scope")
        return _Bearer(
            login,
            realm,
            challenge.parameters.get("service", ""),
            () if scope is None else tuple(scope.split(" ")),
        )

    # -- tokens ---------------------------------------------------------------------------------
    def _token(self, host: _Bearer, name: str, scope: str) -> str:
        scopes = tuple(sorted({scope, *host.scopes}))
        if scopes not in host.tokens:
            try:
                host.tokens[scopes] = self._fetch(host, name, scopes)
            except RequestFailed as failed:
                host.tokens[scopes] = failed
        token = host.tokens[scopes]
        if isinstance(token, RequestFailed):
            raise token
        return token

    def _fetch(self, host: _Bearer, name: str, scopes: tuple[str, ...]) -> str:
        if not host.login.secret:
            try:
                return self._get(host, name, scopes)
            except RequestFailed as failed:
                raise failed.within("failed to fetch anonymous token: ") from None
        try:
            exchange = self._post(host, name, scopes)
            status = exchange.response.status
            knows_no_post = status in _POST_IS_UNKNOWN or (status == 405 and host.login.user)
            if knows_no_post:
                return self._get(host, name, scopes)
            return self._issued(exchange, ("access_token",), name)
        except RequestFailed as failed:
            raise failed.within("failed to fetch oauth token: ") from None

    def _post(self, host: _Bearer, name: str, scopes: tuple[str, ...]) -> Exchange:
        form = {
            "client_id": "containerd-client",
            "scope": " ".join(scopes),
            "service": host.service,
        }
        if host.login.user:
            form |= {
                "grant_type": "password",
                "username": host.login.user,
                "password": host.login.secret,
            }
        else:
            form |= {"grant_type": "refresh_token", "refresh_token": host.login.secret}
        request = replace(self._request(host.realm, "POST"), form=tuple(sorted(form.items())))
        return self._ask(request, f"a token for {name}, as {host.login.origin} says")

    def _get(self, host: _Bearer, name: str, scopes: tuple[str, ...]) -> str:
        request = self._request(host.realm, "GET")
        service = [("service", host.service)] if host.service else []
        query = [*request.query, *service, *(("scope", scope) for scope in scopes)]
        headers = dict(request.headers)
        whose = "an anonymous token"
        if host.login.secret:
            login = f"{host.login.user}:{host.login.secret}"
            headers["Authorization"] = (basic_authorization(login),)
            whose = "a token with Basic"
        query = sorted(query, key=lambda pair: pair[0])
        request = replace(request, query=tuple(query), headers=headers)
        return self._issued(
            self._ask(request, f"{whose} for {name}, whose challenge names this realm"),
            ("access_token", "token"),
            name,
        )

    def _request(self, realm: str, method: str) -> ClientRequest:
        url = parse_url(realm)
        query = tuple(parse_qsl(url.query, keep_blank_values=True))
        headers = dict(self._client.token_headers)
        return ClientRequest(method, url.scheme, url.host, url.path or "/", query, headers)

    def _ask(self, request: ClientRequest, because: str) -> Exchange:
        try:
            return self._send(request, because)
        except RequestFailed as failed:
            failed.text = failed.text.removeprefix("failed to do request: ")
            raise

    def _issued(self, exchange: Exchange, names: tuple[str, ...], name: str) -> str:
        response = exchange.response
        if not 200 <= response.status < 400:
            text = unexpected_status(exchange.request, replace(response, body=b""), self._release)
            raise RequestFailed(text, host=name, status=response.status)
        try:
            document = json.loads(response.body)
            tokens = [document.get(key) for key in names]
        except (ValueError, AttributeError, RecursionError):
            raise RequestFailed("unable to decode token response", host=name) from None
        for token in tokens:
            if isinstance(token, str) and token:
                return token
        text = "authorization server did not include a token in the response"
        raise RequestFailed(text, host=name)


def _is_same(one: ClientRequest, other: ClientRequest) -> bool:
    return replace(one, headers=other.headers, form=other.form) == other
