"""A copy by skopeo 1.9: ping, manifest, then every blob from the same source.

containers/image chooses a source once: the next one is tried only if the ping or the manifest
fails. After that a missing or broken blob fails the copy. (containerd chooses for each object.)
Measured on skopeo 1.9.3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from harness.nodes.models.containers.registries_conf import RegistriesConf
from harness.nodes.models.containers.sources import PullSource, login_for, pull_sources
from harness.nodes.models.go_url import InvalidURL
from harness.nodes.models.network import (
    MOST_REQUESTS,
    Attempt,
    ClientRequest,
    ClientResponse,
    ClientRun,
    Login,
    Network,
    PullStep,
    Trust,
    redirected,
)
from harness.nodes.models.reference import InvalidReference
from harness.nodes.models.registry_api import (
    ModelClient,
    PullFailed,
    entry_for_platform,
    is_content_of,
    kind_of,
    manifest_parts,
    registry_errors,
    status_line,
)
from reference_registry.digest import digest_of


def run(
    image: str, config: RegistriesConf, network: Network, logins: Mapping[str, Login]
) -> ClientRun:
    """``skopeo copy docker://IMAGE`` over *network*; the error is in skopeo's words."""
    try:
        sources = pull_sources(image, config)
    except InvalidReference as error:
        return ClientRun(error=f"Invalid source name docker://{image[:200]}: {error}")
    record: list[Attempt] = []
    copy = _Copy(f"docker://{sources[-1].reference}", sources, config, network, logins, record)
    try:
        copy.run()
    except PullFailed as failed:
        return ClientRun(tuple(record), str(failed))
    return ClientRun(tuple(record))


@dataclass(frozen=True)
class _Copy:
    name: str
    sources: tuple[PullSource, ...]
    config: RegistriesConf
    network: Network
    logins: Mapping[str, Login]
    record: list[Attempt]

    def run(self) -> None:
        """Copy the image. Raises :class:`PullFailed`."""
        source, client, response = self._chosen()
        digest = source.reference.digest
        if digest is not None and not is_content_of(digest, response.body):
            reason = f"Manifest does not match provided manifest digest {digest}"
            raise PullFailed(f"determining manifest MIME type for {self.name}: {reason}")
        try:
            json.loads(response.body)
        except (ValueError, RecursionError):
            first = response.body[:1].decode("latin-1")
            reason = f"invalid character '{first}' looking for beginning of value"
            raise PullFailed(f"initializing image from source {self.name}: {reason}") from None
        if kind_of(response.media_type) == "index":
            entry = entry_for_platform(response.body)
            if entry is None:
                reason = "no image found in manifest list for this platform"
                raise PullFailed(f"choosing image instance: {reason}")
            response = client.manifest(entry.digest)
        config, layers = manifest_parts(response.body)
        for blob in (*layers, config):
            client.check_blob(blob.digest)

    def _chosen(self) -> tuple[PullSource, _Client, ClientResponse]:
        """The first source that serves the manifest, its client, and the manifest."""
        failures: list[tuple[PullSource, PullFailed]] = []
        after = ""
        for source in self.sources:
            client = _Client(
                network=self.network,
                record=self.record,
                host=source.host,
                repository=source.reference.repository,
                login=login_for(self.logins, source),
                trust=Trust(verify=not source.insecure),
                because=source.because + after,
                name=source.reference.name,
            )
            registry = self.config.registry_for(source.reference.name)
            try:
                # Mirrors of a blocked registry still serve.
                if registry is not None and registry.blocked:
                    where = "registries.conf or registries.conf.d"
                    raise PullFailed(f"registry {registry.prefix} is blocked in {where}")
                client.ping(insecure=source.insecure)
                tag_or_digest = source.reference.digest or source.reference.tag or ""
                return source, client, client.manifest(tag_or_digest)
            except PullFailed as failed:
                failures.append((source, failed))
                after = f", {source.host} failed"
        *mirrors, (primary, last) = failures
        reason = str(last)
        if mirrors:
            listed = "\n".join(f"[{source}: {failed}]" for source, failed in mirrors)
            reason = f"(Mirrors also failed: {listed}): {primary}: {last}"
        raise PullFailed(f"initializing source {self.name}: {reason}")


# -- requests -----------------------------------------------------------------------------------
_MOST_ATTEMPTS = 5
_FIRST_DELAY, _LONGEST_DELAY = 2.0, 60.0
"""Seconds before a request is repeated after 429; doubled each time, unless Retry-After is set."""


@dataclass(kw_only=True)
class _Client(ModelClient):
    """The client for one source."""

    name: str
    """Of the image there."""

    BASIC_NEEDS_LOGIN = False

    def refusal(self, response: ClientResponse) -> str | None:
        """Any status except 200 is a failure."""
        return (
            None if response.status == 200 else f"requesting bearer token: {_unexpected(response)}"
        )

    def ping(self, *, insecure: bool) -> None:
        """Find out the scheme, which may be http if the source is *insecure*, and the challenge.

        Raises :class:`PullFailed`.
        """
        schemes = ("https", "http") if insecure else ("https",)
        problem = ""
        for scheme in schemes:
            status, problem = self._ping(scheme, "/v2/", f"ping: {self.because}")
            if status in {200, 401}:
                self.scheme = scheme
                return
        for scheme in schemes:
            status, _ = self._ping(scheme, "/v1/_ping", "checks for a registry of version 1")
            if status in {200, 401}:
                problem = "can't talk to a V1 container registry"
                break
        raise PullFailed(f"pinging container registry {self.host}: {problem}")

    def _ping(self, scheme: str, path: str, because: str) -> tuple[int | None, str]:
        """The status, and the error in words if it is not a good one."""
        try:
            response = self.send("ping", ClientRequest("GET", scheme, self.host, path), because)
        except PullFailed as failed:
            return None, str(failed)
        self.learn(response)
        return response.status, _unexpected(response)

    def manifest(self, reference: str) -> ClientResponse:
        """The manifest with this tag or digest. Raises :class:`PullFailed`."""
        because = f"manifest: {self.because}"
        response = self.fetch(because, "GET", "manifests", reference)
        if response.status != 200:
            doing = f"reading manifest {reference} in {self.name}"
            raise PullFailed(f"{doing}: {_unexpected(response)}")
        return response

    def check_blob(self, digest: str) -> None:
        """Fetch and verify a blob. Raises :class:`PullFailed`."""
        because = f"{self.host} served the manifest, so it must serve the blobs"
        response = self.fetch(because, "GET", "blobs", digest)
        if response.status != 200:
            code, _, phrase = status_line(response.status).partition(" ")
            reason = f"invalid status code from registry {code} ({phrase})"
            raise PullFailed(f"reading blob {digest}: Error fetching blob: {reason}")
        if response.cut:
            raise PullFailed("writing blob: happened during read: unexpected EOF")
        if not is_content_of(digest, response.body):
            got = digest_of(response.body)
            raise PullFailed(f"writing blob: Digest did not match, expected {digest}, got {got}")

    def send(
        self, step: PullStep, request: ClientRequest, because: str, paused: float = 0.0
    ) -> ClientResponse:
        """The answer after redirects; except for tokens, 429 is retried after a pause."""
        response = self._followed(step, request, because, paused)
        delay = _FIRST_DELAY
        for attempt in range(2, _MOST_ATTEMPTS + 1):
            if response.status != 429 or step == "token":
                break
            delay = min(_retry_after(response, delay), _LONGEST_DELAY)
            because = f"retry {delay:.0f} s after 429 ({attempt} of {_MOST_ATTEMPTS})"
            response = self._followed(step, request, because, delay)
            delay *= 2
        return response

    def _followed(
        self, step: PullStep, request: ClientRequest, because: str, paused: float
    ) -> ClientResponse:
        first = request
        for _ in range(MOST_REQUESTS):
            response = super().send(step, request, because, paused)
            location = response.header("Location")
            try:
                following = redirected(first, request, response)
            except InvalidURL as error:
                reason = f'failed to parse Location header "{location}": {error}'
                raise PullFailed(reason) from None
            if following is None:
                return response
            because = f"{request.host} redirects here ({response.status})"
            request = following
        raise PullFailed(f'Get "{location}": stopped after 10 redirects')


def _retry_after(response: ClientResponse, delay: float) -> float:
    """Retry-After, if it is a number of seconds."""
    stated = (response.header("Retry-After") or "").strip()
    return float(stated) if stated.isdecimal() and len(stated) < 10 else delay


def _unexpected(response: ClientResponse) -> str:
    errors = registry_errors(response.body)
    if response.status in {500, 502, 503, 504} or errors is None:
        return f"received unexpected HTTP status: {status_line(response.status)}"
    return errors
