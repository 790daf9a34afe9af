"""A pull by dockerd 20.10: endpoint after endpoint, each from the ping to the last layer.

Whatever fails at one endpoint, the next is tried; the last one's error is shown. What was stored on
the way is not fetched again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.content import Manifest, Platform, an_image
from harness.nodes.models.attempts import ANONYMOUS, Attempt, ClientRun, Login
from harness.nodes.models.behaviours import HEALTHY, HostBehaviour
from harness.nodes.models.dockerd.client import Client, EndpointFailed
from harness.nodes.models.dockerd.endpoints import DaemonConfig, Endpoint, endpoints_of
from harness.nodes.models.network import Network, Response
from harness.nodes.models.reference import InvalidReference, Reference, normalised_reference
from harness.nodes.models.registry_api import Descriptor, index_entries, kind_of, manifest_parts
from harness.nodes.models.simulated_network import RegistryContent, SimulatedNetwork
from reference_registry.digest import digest_of

__all__ = ["DockerPull", "run", "simulate"]

_PLATFORM = Platform()
_BLOB_ATTEMPTS = 5
"""Requests for one blob while the answer is no blob, but for 404 (measured: configurations)."""
_LAYER_PAUSE = 5.0
"""Seconds before a layer is asked for again, and again so many more each time (moby,
distribution/xfer/download.go)."""


@dataclass(frozen=True)
class DockerPull(ClientRun):
    """A pull from its first request to its end."""

    endpoints: tuple[Endpoint, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    error: str | None = None
    """In words of our own where docker's are not known."""


def simulate(
    image: str,
    config: DaemonConfig,
    behaviours: Mapping[str, HostBehaviour] | None = None,
    *,
    login: Login = ANONYMOUS,
    content: Manifest | None = None,
    elsewhere: HostBehaviour = HEALTHY,
) -> DockerPull:
    """``docker pull IMAGE`` where hosts behave as told; see containerd's ``simulate``.

    *login* is the account that ``docker login`` keeps for the image's registry.
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
    places = endpoints_of(reference, config)
    pulling = _Pulling(reference, network, login)
    told, after = "", ""
    for place in places:
        try:
            pulling.from_endpoint(place, after)
        except EndpointFailed as failed:
            told = failed.text
            after = f"{place.host} failed: {failed.text}"
        else:
            return DockerPull(places, tuple(pulling.record))
    return DockerPull(places, tuple(pulling.record), told)


class _Pulling:
    """What is known from one endpoint to the next."""

    def __init__(self, reference: Reference, network: Network, login: Login) -> None:
        self._reference = reference
        self._network = network
        self._login = login
        self._stored: dict[str, Response] = {}
        self.record: list[Attempt] = []

    def from_endpoint(self, endpoint: Endpoint, after: str) -> None:
        """Everything from *endpoint*. Raises :class:`EndpointFailed`."""
        because = f"{endpoint.because}; {after}" if after else endpoint.because
        client = Client(
            endpoint, self._network, self._login, self._reference.repository, self.record, because
        )
        client.ping()
        digest = self._reference.digest or self._resolved(client)
        response = self._manifest(client, digest)
        if kind_of(_media_type(response)) == "index":
            response = self._manifest(client, self._chosen(response.body))
        if kind_of(_media_type(response)) != "manifest":
            raise EndpointFailed(f"{_media_type(response) or 'no type'} is no manifest")
        config, layers = manifest_parts(response.body)
        self._blobs(client, config, layers)

    def _resolved(self, client: Client) -> str:
        """The digest behind the tag: of HEAD, or of GET where HEAD does not tell."""
        tag = self._reference.tag or "latest"
        response = client.ask("HEAD", ("manifests", tag), "which digest has the tag?")
        named = response.header("Docker-Content-Digest")
        if response.status == 200 and named:
            return named
        response = client.ask("GET", ("manifests", tag), "HEAD told no digest")
        client.demand(response)
        named = response.header("Docker-Content-Digest")
        if named:
            return named
        raise EndpointFailed(f"{_media_type(response)} without a digest is no manifest")

    def _manifest(self, client: Client, digest: str) -> Response:
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
    def _blobs(self, client: Client, config: Descriptor, layers: list[Descriptor]) -> None:
        """Configuration and layers at the same time; of several failures one is told."""
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

    def _blob(self, client: Client, descriptor: Descriptor) -> None:
        because = f"{client.endpoint.host} had the manifest"
        # A layer that is not there is asked for twice, a configuration once.
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
            because = f"repeated after {problem} ({number + 1} of {_BLOB_ATTEMPTS})"
        raise EndpointFailed(f"{descriptor.kind} {descriptor.digest}: {problem}")


def _media_type(response: Response) -> str:
    return (response.header("Content-Type") or "").partition(";")[0]
