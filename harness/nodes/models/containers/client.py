"""The registry client of containers/image, as skopeo 1.9 uses it for one source.

It pings ``/v2/`` first, over https, and over http too if the source is insecure. The credentials
that the ping's challenge requires are sent with every later request.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from harness.nodes.models.attempts import Attempt, Login, PullStep
from harness.nodes.models.containers.sources import PullSource
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
    registry_errors,
    status_line,
)

__all__ = ["Client", "Failed"]

_MOST_ATTEMPTS = 5
_FIRST_DELAY, _LONGEST_DELAY = 2.0, 60.0
"""Seconds before a request is repeated after 429; doubled each time, unless Retry-After is set."""
_MOST_REQUESTS = 10
_REDIRECTS = {301, 302, 303, 307, 308}


class Failed(Exception):
    """A source, or the copy, failed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def within(self, prefix: str) -> Failed:
        """The same failure with *prefix* before its text."""
        return Failed(prefix + self.text)


class Client:
    """Talks to one source and writes every request into *record*."""

    def __init__(
        self, source: PullSource, network: Network, login: Login, record: list[Attempt], after: str
    ) -> None:
        self.source = source
        self._network = network
        self._login = login
        self._record = record
        self._because = f"{source.because}, {after}" if after else source.because
        self._trust = Trust(verify=not source.insecure)
        self._scheme = "https"
        self._challenges: list[ParsedChallenge] = []
        self._token: str | None = None

    def ping(self) -> None:
        """Find out scheme and authentication. Raises :class:`Failed`."""
        schemes = ("https", "http") if self.source.insecure else ("https",)
        problem = ""
        for scheme in schemes:
            try:
                response = self._get("ping", scheme, "/v2/", {}, f"ping: {self._because}")
            except ConnectionFailed as failed:
                problem = _words(failed.failure, scheme, self.source.host)
                continue
            if response.status in {200, 401}:
                self._scheme = scheme
                self._challenges = parse_challenges(response.header_lines("WWW-Authenticate"))
                return
            problem = _unexpected(response)
        for scheme in schemes:
            try:
                because = "checks for a registry of version 1"
                answer = self._get("ping", scheme, "/v1/_ping", {}, because)
            except ConnectionFailed:
                continue
            if answer.status in {200, 401}:
                problem = "can't talk to a V1 container registry"
                break
        raise Failed(f"pinging container registry {self.source.host}: {problem}")

    def manifest(self, reference: str) -> ClientResponse:
        """The manifest with this tag or digest. Raises :class:`Failed`."""
        response = self._authorized(("manifests", reference), f"manifest: {self._because}")
        if response.status != 200:
            name = f"{self.source.reference.namespace}/{self.source.reference.repository}"
            raise Failed(f"reading manifest {reference} in {name}: {_unexpected(response)}")
        return response

    def blob(self, digest: str) -> ClientResponse:
        """The blob. Raises :class:`Failed`."""
        because = f"{self.source.host} served the manifest, so it must serve the blobs"
        response = self._authorized(("blobs", digest), because)
        if response.status != 200:
            code, _, phrase = status_line(response.status).partition(" ")
            raise Failed(
                f"reading blob {digest}: Error fetching blob: invalid status code from registry "
                f"{code} ({phrase})"
            )
        return response

    # -- authorization --------------------------------------------------------------------------
    def _authorized(self, resource: tuple[str, str], because: str) -> ClientResponse:
        path = join_path("/v2", self.source.reference.repository, *resource)
        try:
            return self._get("fetch", self._scheme, path, self._authorization(), because)
        except ConnectionFailed as failed:
            raise Failed(_words(failed.failure, self._scheme, self.source.host)) from None

    def _authorization(self) -> Mapping[str, tuple[str, ...]]:
        """For Basic, an empty user if there is no login; for Bearer, a token."""
        for challenge in self._challenges:
            if challenge.scheme == "basic":
                login = f"{self._login.user}:{self._login.secret}"
                return {"Authorization": (basic_authorization(login),)}
            if challenge.scheme == "bearer":
                if self._token is None:
                    self._token = self._fetch_token(challenge)
                return {"Authorization": (f"Bearer {self._token}",)}
        return {}

    def _fetch_token(self, challenge: ParsedChallenge) -> str:
        realm = challenge.parameters.get("realm")
        if realm is None:
            raise Failed("missing realm in bearer auth challenge")
        try:
            url = parse_url(realm)
        except InvalidURL as error:
            raise Failed(f'parse "{realm}": {error}') from None
        login, repository = self._login, self.source.reference.repository
        service = challenge.parameters.get("service")
        request = token_request(url, service, repository, login.user, login.secret)
        because = f"a token for {self.source.host}, whose challenge names this realm"
        try:
            response = self._followed("token", request, because)
        except ConnectionFailed as failed:
            raise Failed(_words(failed.failure, url.scheme, url.host)) from None
        if response.status != 200:
            raise Failed(f"requesting bearer token: {_unexpected(response)}")
        token = issued_token(response.body)
        if token is None:
            raise Failed("the token server's answer holds no token")
        return token

    # -- requests -------------------------------------------------------------------------------
    def _get(
        self,
        step: PullStep,
        scheme: str,
        path: str,
        headers: Mapping[str, tuple[str, ...]],
        because: str,
    ) -> ClientResponse:
        """The answer; while it is 429, the request is repeated after a pause."""
        request = ClientRequest("GET", scheme, self.source.host, path, (), headers)
        response = self._followed(step, request, because)
        delay = _FIRST_DELAY
        for attempt in range(2, _MOST_ATTEMPTS + 1):
            if response.status != 429:
                break
            delay = min(_retry_after(response, delay), _LONGEST_DELAY)
            because = f"retry {delay:.0f} s after 429 ({attempt} of {_MOST_ATTEMPTS})"
            response = self._followed(step, request, because, waited=delay)
            delay *= 2
        return response

    def _followed(
        self, step: PullStep, request: ClientRequest, because: str, waited: float = 0.0
    ) -> ClientResponse:
        first = request
        for _ in range(_MOST_REQUESTS):
            response = self._send(step, request, because, waited)
            location = response.header("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            because = f"{request.host} redirects here ({response.status})"
            request = _redirected(first, request, location)
        raise Failed(f'Get "{location}": stopped after 10 redirects')

    def _send(
        self, step: PullStep, request: ClientRequest, because: str, waited: float
    ) -> ClientResponse:
        response, failure = None, None
        try:
            response = self._network.exchange(request, self._trust)
        except ConnectionFailed as error:
            failure = error.failure
        self._record.append(Attempt.at(step, request, response, failure, because, seconds=waited))
        if response is None:
            raise ConnectionFailed(failure or Failure.RESET)
        return response


def _redirected(first: ClientRequest, request: ClientRequest, location: str) -> ClientRequest:
    try:
        target = parse_url(location)
    except InvalidURL as error:
        raise Failed(f'failed to parse Location header "{location}": {error}') from None
    host, scheme = target.host or request.host, target.scheme or request.scheme
    headers = dict(first.headers)
    if host != first.host:
        headers.pop("Authorization", None)
    query = tuple(parse_qsl(target.query, keep_blank_values=True))
    return ClientRequest("GET", scheme, host, target.path, query, headers)


def _retry_after(response: ClientResponse, delay: float) -> float:
    """Retry-After, if it is a number of seconds."""
    stated = (response.header("Retry-After") or "").strip()
    return float(stated) if stated.isdecimal() and len(stated) < 10 else delay


def _unexpected(response: ClientResponse) -> str:
    errors = registry_errors(response.body)
    if response.status in {500, 502, 503, 504} or errors is None:
        return f"received unexpected HTTP status: {status_line(response.status)}"
    return errors


def _words(failure: Failure, scheme: str, host: str) -> str:
    return f'Get "{scheme}://{host}/v2/": {failure.name.lower().replace("_", " ")}'
