"""A copy by skopeo 1.9: ping, manifest, then every blob from the same source.

The next source is tried only if the ping or the manifest fails. After that no other source is used:
a missing or broken blob fails the copy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from harness.content import Manifest, Platform, an_image
from harness.nodes.models.attempts import Attempt, ClientRun
from harness.nodes.models.behaviours import HEALTHY, HostBehaviour
from harness.nodes.models.containers.client import Client, Failed
from harness.nodes.models.containers.registries_conf import RegistriesConf
from harness.nodes.models.containers.sources import AuthFile, PullSource, pull_sources
from harness.nodes.models.network import ClientResponse, Network
from harness.nodes.models.reference import InvalidReference
from harness.nodes.models.registry_api import index_entries, kind_of, manifest_parts
from harness.nodes.models.simulated_network import RegistryContent, SimulatedNetwork
from reference_registry.digest import digest_of

__all__ = ["ImageCopy", "run", "simulate"]

_PLATFORM = Platform()


@dataclass(frozen=True)
class ImageCopy(ClientRun):
    """A copy from its first request to its end."""

    sources: tuple[PullSource, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    error: str | None = None
    """In skopeo's words."""


def simulate(
    image: str,
    config: RegistriesConf,
    behaviours: Mapping[str, HostBehaviour] | None = None,
    *,
    auth_file: AuthFile | None = None,
    content: Manifest | None = None,
    elsewhere: HostBehaviour = HEALTHY,
) -> ImageCopy:
    """``skopeo copy docker://IMAGE`` with these *behaviours*; see containerd's ``simulate``."""
    network = SimulatedNetwork(
        behaviours or {},
        RegistryContent(content or an_image(layers=1)),
        elsewhere=elsewhere,
    )
    return run(image, config, network, auth_file or AuthFile())


def run(image: str, config: RegistriesConf, network: Network, auth_file: AuthFile) -> ImageCopy:
    """The copy of *image* over *network*."""
    try:
        sources = pull_sources(image, config)
    except InvalidReference as error:
        return ImageCopy(error=f"Invalid source name docker://{image[:200]}: {error}")
    record: list[Attempt] = []
    name = f"docker://{sources[-1].reference}"
    try:
        _Copy(name, sources, config, network, auth_file, record).run()
    except Failed as failed:
        return ImageCopy(sources, tuple(record), failed.text)
    return ImageCopy(sources, tuple(record))


class _Copy:
    def __init__(
        self,
        name: str,
        sources: tuple[PullSource, ...],
        config: RegistriesConf,
        network: Network,
        auth_file: AuthFile,
        record: list[Attempt],
    ) -> None:
        self._name = name
        self._sources = sources
        self._config = config
        self._network = network
        self._auth_file = auth_file
        self._record = record

    def run(self) -> None:
        """Copy the image. Raises :class:`Failed`."""
        client, response = self._chosen()
        reference = client.source.reference
        if reference.digest is not None and digest_of(response.body) != reference.digest:
            raise Failed(
                f"determining manifest MIME type for {self._name}: Manifest does not match "
                f"provided manifest digest {reference.digest}"
            )
        self._reject_no_manifest(response)
        if kind_of(response.media_type) == "index":
            response = self._instance(client, response)
        config, layers = manifest_parts(response.body)
        for blob in (*layers, config):
            self._blob(client, blob.digest)

    def _chosen(self) -> tuple[Client, ClientResponse]:
        """The first source that serves the manifest, and the manifest."""
        failures: list[tuple[PullSource, Failed]] = []
        because = ""
        for source in self._sources:
            try:
                self._reject_blocked(source)
                login = self._auth_file.login_for(source)
                client = Client(source, self._network, login, self._record, because)
                client.ping()
                return client, client.manifest(
                    source.reference.digest or source.reference.tag or ""
                )
            except Failed as failed:
                failures.append((source, failed))
                because = f"{source.host} failed"
        (primary, last), mirrors = failures[-1], failures[:-1]
        if not mirrors:
            raise last.within(f"initializing source {self._name}: ")
        listed = "\n".join(f"[{source}: {failed.text}]" for source, failed in mirrors)
        raise last.within(
            f"initializing source {self._name}: (Mirrors also failed: {listed}): {primary}: "
        )

    def _reject_blocked(self, source: PullSource) -> None:
        """``blocked`` applies to the contacted name: mirrors of a blocked registry still serve."""
        name = f"{source.reference.namespace}/{source.reference.repository}"
        registry = self._config.registry_for(name)
        if registry is not None and registry.blocked:
            raise Failed(
                f"registry {registry.prefix} is blocked in registries.conf or registries.conf.d"
            )

    def _reject_no_manifest(self, response: ClientResponse) -> None:
        try:
            json.loads(response.body)
        except (ValueError, RecursionError):
            first = response.body[:1].decode("latin-1")
            raise Failed(
                f"initializing image from source {self._name}: invalid character '{first}' looking "
                "for beginning of value"
            ) from None

    def _instance(self, client: Client, response: ClientResponse) -> ClientResponse:
        """The manifest of an index for this platform."""
        wanted = _PLATFORM.document()
        for platform, entry in index_entries(response.body):
            if platform == wanted:
                return client.manifest(entry.digest)
        raise Failed("choosing image instance: no image found in manifest list for this platform")

    def _blob(self, client: Client, digest: str) -> None:
        response = client.blob(digest)
        if response.cut:
            raise Failed("writing blob: happened during read: unexpected EOF")
        if digest_of(response.body, digest.partition(":")[0]) != digest:
            raise Failed(f"writing blob: Digest did not match, expected {digest}, got "
                         f"{digest_of(response.body)}")  # fmt: skip
