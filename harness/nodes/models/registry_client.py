"""One registry, as dockerd, skopeo and podman talk to it.

The challenge to a ping decides how every later request is authorized. Tokens:
https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import parse_qsl

from harness.nodes.models.go_url import GoURL, InvalidURL, join_path, parse_url
from harness.nodes.models.network import (
    Attempt,
    ClientRequest,
    ClientResponse,
    ConnectionFailed,
    Failure,
    Login,
    Network,
    PullStep,
    Trust,
    basic_authorization,
)
from harness.nodes.models.registry_api import ParsedChallenge, issued_token, parse_challenges

__all__ = ["PullFailed", "RegistryClient"]


class PullFailed(Exception):
    """A registry, or the whole pull, failed; the message is the client's."""


@dataclass(kw_only=True)
class RegistryClient:
    """Sends the requests of one pull to one host, and writes each into *record*."""

    network: Network
    record: list[Attempt]
    host: str
    repository: str
    login: Login
    trust: Trust
    because: str
    """Why the host is contacted."""
    scheme: str = "https"
    lane: str = ""
    """The ``lane`` of every recorded attempt."""
    _challenges: list[ParsedChallenge] = field(default_factory=list)
    _token: str | None = None

    BASIC_NEEDS_LOGIN: ClassVar[bool]
    """Whether a Basic challenge without a login fails; otherwise an empty login is sent."""

    # -- what the clients do differently --------------------------------------------------------
    def waited(self, failure: Failure, step: PullStep) -> float:
        """Seconds until the client gives up after *failure*; 0 where that is not modelled."""
        del failure, step
        return 0.0

    def refusal(self, response: ClientResponse) -> str | None:
        """The error for an answer that is not a success."""
        raise NotImplementedError

    # -- requests -------------------------------------------------------------------------------
    def send(
        self, step: PullStep, request: ClientRequest, because: str, paused: float = 0.0
    ) -> ClientResponse:
        """The answer; *paused* is the time before the request in seconds.

        Raises :class:`PullFailed` if there is none.
        """
        result: ClientResponse | Failure
        try:
            result = self.network.exchange(request, self.trust)
        except ConnectionFailed as failed:
            result = failed.failure
            paused += self.waited(result, step)
        lane = self.lane
        self.record.append(Attempt.at(step, request, result, because, lane=lane, seconds=paused))
        if isinstance(result, Failure):
            words = result.name.lower().replace("_", " ")
            url = f"{request.scheme}://{request.host}{request.path}"
            raise PullFailed(f'{request.method.title()} "{url}": {words}')
        return result

    def learn(self, ping: ClientResponse) -> None:
        """Keep the challenge in the answer to a ping."""
        self._challenges = parse_challenges(ping.header_lines("WWW-Authenticate"))

    def fetch(
        self, because: str, method: str, kind: str, reference: str, paused: float = 0.0
    ) -> ClientResponse:
        """The answer for a reference of *kind* ``manifests`` or ``blobs``, with any status.

        Raises :class:`PullFailed` if there is none, or no credentials are available.
        """
        path = join_path("/v2", self.repository, kind, reference)
        request = ClientRequest(method, self.scheme, self.host, path, (), self._authorization())
        return self.send("fetch", request, because, paused)

    # -- authorization --------------------------------------------------------------------------
    def _authorization(self) -> Mapping[str, tuple[str, ...]]:
        login = self.login
        for challenge in self._challenges:
            if challenge.scheme == "bearer":
                self._token = self._token or self._fetched_token(challenge)
                return {"Authorization": (f"Bearer {self._token}",)}
            if challenge.scheme == "basic":
                if self.BASIC_NEEDS_LOGIN and not (login.user and login.secret):
                    raise PullFailed("no basic auth credentials")
                return {"Authorization": (basic_authorization(f"{login.user}:{login.secret}"),)}
        return {}

    def _fetched_token(self, challenge: ParsedChallenge) -> str:
        realm = challenge.parameters.get("realm")
        if realm is None:
            raise PullFailed("no realm specified for token auth challenge")
        try:
            url = parse_url(realm)
        except InvalidURL as error:
            raise PullFailed(f"invalid token auth challenge realm: {error}") from None
        login = self.login
        whose = f"a token as {login.user}" if login.user and login.secret else "an anonymous token"
        because = f"{whose} for {self.host}, whose challenge names this realm"
        request = self._token_request(url, challenge.parameters.get("service"))
        response = self.send("token", request, because)
        problem = self.refusal(response)
        token = issued_token(response.body)
        if problem is not None or token is None:
            absent = "authorization server did not include a token in the response"
            raise PullFailed(problem or absent)
        return token

    def _token_request(self, realm: GoURL, service: str | None) -> ClientRequest:
        """The GET of a pull token, with Basic credentials if there are any."""
        query = [*parse_qsl(realm.query, keep_blank_values=True)]
        query.append(("scope", f"repository:{self.repository}:pull"))
        headers: dict[str, tuple[str, ...]] = {}
        user, secret = self.login.user, self.login.secret
        if service:
            query.append(("service", service))
        if user:
            query.append(("account", user))
        if user and secret:
            headers["Authorization"] = (basic_authorization(f"{user}:{secret}"),)
        path = realm.path or "/"
        return ClientRequest("GET", realm.scheme, realm.host, path, tuple(sorted(query)), headers)
