"""A pull by dockerd 20.10: endpoint after endpoint, each from the ping to the last layer.

After any failure the next endpoint is tried; the error of the last one is reported. Content that
was stored before is not fetched again. The ping's challenge decides how every later request to an
endpoint is authorized. The login of the image's registry is sent to every endpoint that requires
one, mirrors included (moby#42022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.content import Manifest, Platform, an_image
from harness.nodes.models.attempts import ANONYMOUS, Attempt, ClientRun, Login, PullStep
from harness.nodes.models.behaviours import HEALTHY, HostBehaviour
from harness.nodes.models.dockerd.endpoints import DaemonConfig, Endpoint, endpoints_of
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
from harness.nodes.models.reference import InvalidReference, Reference, normalised_reference
from harness.nodes.models.registry_api import (
    ContentDescriptor,
    ParsedChallenge,
    index_entries,
    issued_token,
    kind_of,
    manifest_parts,
    parse_challenges,
    status_line,
)
from harness.nodes.models.simulated_network import RegistryContent, SimulatedNetwork
from reference_registry.digest import digest_of

__all__ = ["Client", "DockerPull", "EndpointFailed", "run", "simulate"]


_PLATFORM = Platform()
_BLOB_ATTEMPTS = 5
"""Requests for one blob while they fail, except with 404 (measured for configurations)."""
_LAYER_PAUSE = 5.0
"""Seconds before a layer is requested again; grows by as much each time (moby,
distribution/xfer/download.go)."""


@dataclass(frozen=True)
class DockerPull(ClientRun):
    """A pull from its first request to its end."""

    endpoints: tuple[Endpoint, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    error: str | None = None
    """Not docker's words where they are unknown."""


def simulate(
    image: str,
    config: DaemonConfig,
    behaviours: Mapping[str, HostBehaviour] | None = None,
    *,
    login: Login = ANONYMOUS,
    content: Manifest | None = None,
    elsewhere: HostBehaviour = HEALTHY,
) -> DockerPull:
    """``docker pull IMAGE`` with these *behaviours*; see containerd's ``simulate``.

    *login* is the account that ``docker login`` stores for the image's registry.
    """
    network = SimulatedNetwork(
        behaviours or {}, RegistryContent(content or an_image(layers=1)), elsewhere=elsewhere
    )
    return run(image, config, network, login)


def run(image: str, config: DaemonConfig, network: Network, login: Login = ANONYMOUS) -> DockerPull:
    """The pull of *image* over *network*."""
    try:
        reference = normalised_reference(image)
    except InvalidReference as error:
        return DockerPull(error=f"invalid reference format: {error}")
    tried = endpoints_of(reference, config)
    pulling = _Pulling(reference, network, login)
    reason, after = "", ""
    for endpoint in tried:
        try:
            pulling.from_endpoint(endpoint, after)
        except EndpointFailed as failed:
            reason = failed.text
            after = f"{endpoint.host} failed: {failed.text}"
        else:
            return DockerPull(tried, tuple(pulling.record))
    return DockerPull(tried, tuple(pulling.record), reason)


class _Pulling:
    """The state that all endpoints share."""

    def __init__(self, reference: Reference, network: Network, login: Login) -> None:
        self._reference = reference
        self._network = network
        self._login = login
        self._stored: dict[str, ClientResponse] = {}
        self.record: list[Attempt] = []

    def from_endpoint(self, endpoint: Endpoint, after: str) -> None:
        """Pull everything from *endpoint*. Raises :class:`EndpointFailed`."""
        because = f"{endpoint.because}; {after}" if after else endpoint.because
        client = Client(
            endpoint, self._network, self._login, self._reference.repository, self.record, because
        )
        client.ping()
        digest = self._reference.digest or self._resolved(client)
        response = self._manifest(client, digest)
        if kind_of(response.media_type) == "index":
            response = self._manifest(client, self._chosen(response.body))
        if kind_of(response.media_type) != "manifest":
            raise EndpointFailed(f"{response.media_type or 'no type'} is not a manifest")
        config, layers = manifest_parts(response.body)
        self._blobs(client, config, layers)

    def _resolved(self, client: Client) -> str:
        """The digest of the tag, from HEAD, or from GET if HEAD has none."""
        tag = self._reference.tag or "latest"
        response = client.ask("HEAD", ("manifests", tag), "resolves the tag")
        named = response.header("Docker-Content-Digest")
        if response.status == 200 and named:
            return named
        response = client.ask("GET", ("manifests", tag), "HEAD had no digest")
        client.demand(response)
        named = response.header("Docker-Content-Digest")
        if named:
            return named
        raise EndpointFailed(f"{response.media_type} without a digest is not a manifest")

    def _manifest(self, client: Client, digest: str) -> ClientResponse:
        if digest in self._stored:
            return self._stored[digest]
        response = client.ask("GET", ("manifests", digest), "the manifest")
        client.demand(response)
        if digest_of(response.body, digest.partition(":")[0]) != digest:
            raise EndpointFailed(f"manifest verification failed for digest {digest}")
        self._stored[digest] = response
        return response

    def _chosen(self, index: bytes) -> str:
        wanted = _PLATFORM.document()
        for platform, descriptor in index_entries(index):
            if platform == wanted:
                return descriptor.digest
        raise EndpointFailed("no matching manifest in the manifest list entries")

    # -- blobs ----------------------------------------------------------------------------------
    def _blobs(
        self, client: Client, config: ContentDescriptor, layers: list[ContentDescriptor]
    ) -> None:
        """Configuration and layers, concurrently; one of several failures is reported."""
        failures = []
        for descriptor in (config, *layers):
            client.lane = descriptor.digest
            try:
                self._blob(client, descriptor)
            except EndpointFailed as failed:
                failures.append(failed)
        client.lane = ""
        if failures:
            raise failures[0]

    def _blob(self, client: Client, descriptor: ContentDescriptor) -> None:
        because = f"{client.endpoint.host} served the manifest"
        # A missing layer is requested twice, a missing configuration once.
        lacking = 2 if descriptor.kind == "layer" else 1
        problem = ""
        for number in range(1, _BLOB_ATTEMPTS + 1):
            waited = _LAYER_PAUSE * (number - 1) if descriptor.kind == "layer" else 0.0
            response = client.try_blob(descriptor.digest, because, waited)
            if response is not None and response.status == 200 and not response.cut:
                if digest_of(response.body, descriptor.digest.partition(":")[0]) == (
                    descriptor.digest
                ):
                    return
                raise EndpointFailed(f"filesystem layer verification failed: {descriptor.digest}")
            problem = "no answer" if response is None else str(response.status)
            if response is not None and response.status == 404 and number >= lacking:
                raise EndpointFailed(f"{descriptor.digest} not found")
            because = f"retry after {problem} ({number + 1} of {_BLOB_ATTEMPTS})"
        raise EndpointFailed(f"{descriptor.kind} {descriptor.digest}: {problem}")


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
