"""dockerd: its registry mirrors, when it falls back to Docker Hub, and a pull by dockerd 20.10.

``daemon.json`` gives the endpoints; the behaviour of hosts gives the pull::

    config = read_daemon_json('{"registry-mirrors": ["https://mirror.example"]}')
    network = SimulatedNetwork({"mirror.example": HostBehaviour(store=False)}, an_image())
    run("nginx", config, network).attempts

Mirrors are for images of Docker Hub only. One endpoint serves the whole pull, from the ping to the
last layer. If anything fails there, the next endpoint starts from the beginning, but content that
was stored before is not fetched again; the error of the last endpoint is reported. The login of the
image's registry is sent to every endpoint that requires one, mirrors included (moby#42022).

Rules: moby#18818, moby#30880, moby's ``registry/service_v2.go`` (lookupV2Endpoints); measured on
docker 20.10.24.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from harness.nodes.models.files import FileProblem
from harness.nodes.models.go_url import GoURL, InvalidURL, parse_url, split_host_port
from harness.nodes.models.network import (
    ANONYMOUS,
    Attempt,
    ClientRequest,
    ClientResponse,
    ClientRun,
    Failure,
    Login,
    Network,
    PullStep,
    Trust,
)
from harness.nodes.models.reference import InvalidReference, Reference, normalised_reference
from harness.nodes.models.registry_api import (
    ContentDescriptor,
    ModelClient,
    PullFailed,
    entry_for_platform,
    is_content_of,
    kind_of,
    manifest_parts,
)
from harness.nodes.models.toml_statements import is_a

DOCKER_HUB = "registry-1.docker.io"
_LOOPBACK = "127.0.0.0/8"
"""Insecure by default (moby, registry/config.go)."""


class InvalidDaemonJson(FileProblem):
    """Why the daemon does not start."""


@dataclass(frozen=True)
class DaemonConfig:
    """Mirrors in order, and hosts whose certificates are not checked."""

    mirrors: tuple[GoURL, ...] = ()
    insecure: tuple[str, ...] = ()
    """``insecure-registries``: hosts with their port, or networks in CIDR form."""

    def is_insecure(self, host: str) -> bool:
        """Whether the certificate of *host* (with its port if the URL names one) is not checked."""
        if host in self.insecure:
            return True
        split = split_host_port(host)
        try:
            address = ip_address((split[0] if split else host).strip("[]"))
        except ValueError:
            return False
        return any(address in network for network in map(_network, (*self.insecure, _LOOPBACK)))


def read_daemon_json(text: str) -> DaemonConfig:
    """The settings in *text*. Raises :class:`InvalidDaemonJson`."""
    try:
        document = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError as error:
        raise InvalidDaemonJson(f"invalid JSON: {error.msg}", line=error.lineno) from None
    except RecursionError:
        raise InvalidDaemonJson("invalid JSON: nested too deeply") from None
    except ValueError:  # Python converts no integer of more than 4,300 digits.
        raise InvalidDaemonJson("invalid JSON: a number has too many digits") from None
    if not isinstance(document, dict):
        raise InvalidDaemonJson("must hold one JSON object")
    lists = {key: document.get(key) or [] for key in ("registry-mirrors", "insecure-registries")}
    for key, value in lists.items():
        if not is_a(value, "a list of strings"):
            raise InvalidDaemonJson(f"`{key}` must be a list of strings")
    mirrors, insecure = lists.values()
    return DaemonConfig(tuple(map(_mirror, mirrors)), tuple(insecure))


def _mirror(text: str) -> GoURL:
    problem = ""
    try:
        url = parse_url(text)
    except InvalidURL as error:
        raise InvalidDaemonJson(f"invalid mirror: {text!r} is not a URL: {error}") from None
    if url.scheme not in {"http", "https"}:
        problem = (
            f"unsupported scheme {url.scheme!r} in {text!r}; it must begin with http:// or https://"
        )
    elif url.path.strip("/") or url.query or "#" in text:
        problem = f"path, query, or fragment at end of the URI {text!r}"
    elif "@" in text.partition("://")[2].partition("/")[0]:
        problem = "username/password not allowed in URI"
    if problem:
        raise InvalidDaemonJson(f"invalid mirror: {problem}")
    return GoURL(url.scheme, url.host)


def _network(text: str) -> Any:
    try:
        return ip_network(text, strict=False) if "/" in text else ()
    except ValueError:
        return ()


@dataclass(frozen=True)
class Endpoint:
    """One endpoint to try."""

    scheme: str
    host: str
    is_mirror: bool
    verify: bool
    """Whether certificates are checked."""
    because: str


def endpoints(reference: Reference, config: DaemonConfig) -> tuple[Endpoint, ...]:
    """The endpoints of *reference*; an insecure registry has one over plain HTTP too."""
    host = reference.namespace
    if host == "docker.io":
        urls = [
            (one.scheme, one.host, f"registry-mirrors, number {number}")
            for number, one in enumerate(config.mirrors, 1)
        ]
        mirrors = [Endpoint(s, h, True, not config.is_insecure(h), why) for s, h, why in urls]
        return (*mirrors, Endpoint("https", DOCKER_HUB, False, True, "Docker Hub, tried last"))
    because = f"{host} itself, as mirrors are for Docker Hub only"
    insecure = config.is_insecure(host)
    secure = Endpoint("https", host, False, not insecure, because)
    plain = Endpoint("http", host, False, True, f"{because}; it is insecure")
    return (secure, plain) if insecure else (secure,)


# -- pulling ------------------------------------------------------------------------------------
_BLOB_ATTEMPTS = 5
"""Requests for one blob while they fail, except with 404 (measured for configurations)."""
_LAYER_PAUSE = 5.0
"""Seconds before a layer is requested again; grows by as much each time (moby,
distribution/xfer/download.go)."""
_TIMEOUTS = {Failure.UNREACHABLE: 30.0, Failure.HANDSHAKE_TIMEOUT: 10.0}
_PING_TIMEOUT = 15.0
"""Timeout of a ping in seconds (moby, registry/auth.go)."""


def run(image: str, config: DaemonConfig, network: Network, login: Login = ANONYMOUS) -> ClientRun:
    """``docker pull IMAGE`` over *network*; errors are not always in docker's words.

    *login* is the account that ``docker login`` stores for the image's registry.
    """
    try:
        reference = normalised_reference(image)
    except InvalidReference as error:
        return ClientRun(error=f"invalid reference format: {error}")
    pull = _Pull(reference)
    record: list[Attempt] = []
    reason, after = "", ""
    for endpoint in endpoints(reference, config):
        client = _Client(
            network=network,
            record=record,
            host=endpoint.host,
            repository=reference.repository,
            login=login,
            trust=Trust(verify=endpoint.verify),
            because=endpoint.because + after,
            scheme=endpoint.scheme,
        )
        try:
            pull.from_endpoint(client)
        except PullFailed as failed:
            reason = str(failed)
            after = f"; {endpoint.host} failed: {failed}"
        else:
            return ClientRun(tuple(record))
    return ClientRun(tuple(record), reason)


class _Client(ModelClient):
    """The client for one endpoint."""

    BASIC_NEEDS_LOGIN = True

    def waited(self, failure: Failure, step: PullStep) -> float:
        """Forever if no limit is known."""
        seconds = _TIMEOUTS.get(failure, float("inf") if failure.has_no_limit else 0.0)
        return min(seconds, _PING_TIMEOUT) if step == "ping" else seconds

    def ping(self) -> None:
        """Get the challenge. Raises :class:`PullFailed` only without an answer."""
        request = ClientRequest("GET", self.scheme, self.host, "/v2/")
        response = self.send("ping", request, f"ping: {self.because}")
        if response.status == 401:
            self.learn(response)

    def good_manifest(self, reference: str, because: str) -> ClientResponse:
        """The manifest. Raises :class:`PullFailed`."""
        response = self.fetch(because, "GET", "manifests", reference)
        problem = self.refusal(response)
        if problem is not None:
            raise PullFailed(problem)
        return response


@dataclass
class _Pull:
    """A pull, with the manifests that all endpoints share."""

    reference: Reference
    stored: dict[str, ClientResponse] = field(default_factory=dict)

    def from_endpoint(self, client: _Client) -> None:
        """Pull everything with *client*. Raises :class:`PullFailed`."""
        client.ping()
        response = self._manifest(client, self.reference.digest or self._resolved(client))
        if kind_of(response.media_type) == "index":
            entry = entry_for_platform(response.body)
            if entry is None:
                raise PullFailed("no matching manifest in the manifest list entries")
            response = self._manifest(client, entry.digest)
        if kind_of(response.media_type) != "manifest":
            raise PullFailed(f"{response.media_type or 'no type'} is not a manifest")
        config, layers = manifest_parts(response.body)
        failures = []
        for descriptor in (config, *layers):
            # Concurrent in reality; one of several failures is reported.
            client.lane = descriptor.digest
            try:
                _pull_blob(client, descriptor)
            except PullFailed as failed:
                failures.append(failed)
        if failures:
            raise failures[0]

    def _resolved(self, client: _Client) -> str:
        """The digest of the tag, from HEAD, or from GET if HEAD has none."""
        tag = self.reference.tag or "latest"
        response = client.fetch("resolves the tag", "HEAD", "manifests", tag)
        named = response.header("Docker-Content-Digest")
        if response.status != 200 or not named:
            response = client.good_manifest(tag, "HEAD had no digest")
            named = response.header("Docker-Content-Digest")
        if not named:
            raise PullFailed(f"{response.media_type} without a digest is not a manifest")
        return named

    def _manifest(self, client: _Client, digest: str) -> ClientResponse:
        if digest not in self.stored:
            response = client.good_manifest(digest, "the manifest")
            if not is_content_of(digest, response.body):
                raise PullFailed(f"manifest verification failed for digest {digest}")
            self.stored[digest] = response
        return self.stored[digest]


def _pull_blob(client: _Client, descriptor: ContentDescriptor) -> None:
    is_layer, digest = descriptor.kind == "layer", descriptor.digest
    because = f"{client.host} served the manifest"
    problem = ""
    for number in range(1, _BLOB_ATTEMPTS + 1):
        paused = _LAYER_PAUSE * (number - 1) if is_layer else 0.0
        try:
            response = client.fetch(because, "GET", "blobs", digest, paused)
        except PullFailed:
            problem = "no answer"
        else:
            problem = str(response.status)
            if problem == "200" and not response.cut:
                if is_content_of(digest, response.body):
                    return
                raise PullFailed(f"filesystem layer verification failed: {digest}")
        # A missing layer is requested twice, a missing configuration once.
        if problem == "404" and number >= 1 + is_layer:
            raise PullFailed(f"{digest} not found")
        because = f"retry after {problem} ({number + 1} of {_BLOB_ATTEMPTS})"
    raise PullFailed(f"{descriptor.kind} {digest}: {problem}")
