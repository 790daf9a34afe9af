"""The registry client of dockerd for one endpoint: a ping, a login, and then requests.

The ping's challenge decides how every later request is authorized. The login of the image's
registry is sent to every endpoint that requires one, mirrors included (moby#42022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.nodes.models.attempts import Attempt, Login, PullStep
from harness.nodes.models.dockerd.endpoints import Endpoint
from harness.nodes.models.go_url import InvalidURL, join_path, parse_url
from harness.nodes.models.network import (
    ClientRequest,
    ClientResponse,
    ConnectionFailed,
    Failure,
    Network,
    Trust,
    basic_authorization,
    token_request,
)
from harness.nodes.models.registry_api import (
    ParsedChallenge,
    issued_token,
    parse_challenges,
    status_line,
)

__all__ = ["Client", "EndpointFailed"]

_TIMEOUTS = {Failure.UNREACHABLE: 30.0, Failure.HANDSHAKE_TIMEOUT: 10.0}
_PING_TIMEOUT = 15.0
"""Timeout of a ping in seconds (moby, registry/auth.go)."""


class EndpointFailed(Exception):
    """Why the next endpoint is tried."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Client:
    """Talks to one endpoint and writes every request into *record*."""

    def __init__(
        self,
        endpoint: Endpoint,
        network: Network,
        login: Login,
        repository: str,
        record: list[Attempt],
        because: str,
    ) -> None:
        self.endpoint = endpoint
        self.lane = ""
        """The ``lane`` of every recorded attempt."""
        self._network = network
        self._login = login
        self._repository = repository
        self._record = record
        self._because = because
        self._trust = Trust(verify=endpoint.verify)
        self._challenges: list[ParsedChallenge] = []
        self._token: str | None = None

    def ping(self) -> None:
        """Get the challenge. Raises :class:`EndpointFailed` only without an answer."""
        request = ClientRequest("GET", self.endpoint.scheme, self.endpoint.host, "/v2/")
        response = self._send(request, "ping", f"ping: {self._because}")
        if response.status == 401:
            self._challenges = parse_challenges(response.header_lines("WWW-Authenticate"))

    def ask(self, method: str, resource: tuple[str, str], because: str) -> ClientResponse:
        """The answer, with any status. Raises :class:`EndpointFailed` if there is none."""
        path = join_path("/v2", self._repository, *resource)
        headers = self._authorization()
        request = ClientRequest(
            method, self.endpoint.scheme, self.endpoint.host, path, headers=headers
        )
        return self._send(request, "fetch", because)

    def demand(self, response: ClientResponse) -> None:
        """Raises :class:`EndpointFailed` for any status of 400 or more."""
        if response.status >= 400:
            raise EndpointFailed(f"{self.endpoint.host}: {status_line(response.status)}")

    def try_blob(self, digest: str, because: str, waited: float) -> ClientResponse | None:
        """The answer, or None without one; *waited* is the pause before it in seconds."""
        try:
            response = self.ask("GET", ("blobs", digest), because)
        except EndpointFailed:
            return None
        finally:
            if waited and self._record:
                last = self._record[-1]
                self._record[-1] = replace(last, seconds=last.seconds + waited)
        return response

    # -- authorization --------------------------------------------------------------------------
    def _authorization(self) -> Mapping[str, tuple[str, ...]]:
        for challenge in self._challenges:
            if challenge.scheme == "bearer":
                if self._token is None:
                    self._token = self._fetch_token(challenge)
                return {"Authorization": (f"Bearer {self._token}",)}
            if challenge.scheme == "basic":
                if not (self._login.user and self._login.secret):
                    raise EndpointFailed("no basic auth credentials")
                login = f"{self._login.user}:{self._login.secret}"
                return {"Authorization": (basic_authorization(login),)}
        return {}

    def _fetch_token(self, challenge: ParsedChallenge) -> str:
        realm = challenge.parameters.get("realm")
        try:
            url = parse_url(realm or "")
        except InvalidURL as error:
            raise EndpointFailed(f"invalid token auth challenge realm: {error}") from None
        if realm is None:
            raise EndpointFailed("no realm specified for token auth challenge")
        login, service = self._login, challenge.parameters.get("service")
        whose = f"a token as {login.user}" if login.user and login.secret else "an anonymous token"
        request = token_request(url, service, self._repository, login.user, login.secret)
        because = f"{whose} for {self.endpoint.host}, whose challenge names this realm"
        response = self._send(request, "token", because)
        self.demand(response)
        token = issued_token(response.body)
        if token is None:
            raise EndpointFailed("authorization server did not include a token in the response")
        return token

    # -- the wire -------------------------------------------------------------------------------
    def _send(self, request: ClientRequest, step: PullStep, because: str) -> ClientResponse:
        failure: Failure | None = None
        response: ClientResponse | None = None
        try:
            response = self._network.exchange(request, self._trust)
        except ConnectionFailed as failed:
            failure = failed.failure
        self._record.append(
            Attempt.at(
                step,
                request,
                response,
                failure,
                because,
                lane=self.lane,
                seconds=_seconds(failure, step),
            )
        )
        if response is None:
            raise EndpointFailed(f"{request.host}: {failure.name if failure else 'no answer'}")
        return response


def _seconds(failure: Failure | None, step: PullStep) -> float:
    """How long the client waits after *failure*; forever if no limit is known."""
    if failure is None:
        return 0.0
    waits = _TIMEOUTS.get(failure, float("inf") if failure.has_no_limit else 0.0)
    return min(waits, _PING_TIMEOUT) if step == "ping" else waits
