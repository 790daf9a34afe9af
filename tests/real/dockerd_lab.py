"""Cases played to a real dockerd, which is told that Docker Hub is here.

Docker Hub's name leads, through a proxy on loopback, to a played host; mirrors are asked directly,
as the daemon never sends loopback addresses through a proxy.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.clients.authority import Authority
from harness.clients.dockerd import HUB_LOGIN, DockerDaemon
from harness.clients.scripted_hosts import Certificates, Place, ScriptedHosts, Seen
from harness.clients.source_network import SourceNetwork
from harness.content import Manifest, an_image, an_index
from harness.nodes.models.attempts import ANONYMOUS, Attempt, Credential, Login, credential_of
from harness.nodes.models.behaviours import HostBehaviour, behaviour_from
from harness.nodes.models.dockerd.endpoints import DOCKER_HUB, DaemonConfig, MirrorURL
from harness.nodes.models.dockerd.pulling import run
from harness.nodes.models.simulated_network import RegistryContent, SimulatedNetwork
from tests.real.free_addresses import free_network

__all__ = ["DockerLab"]

_PORTS = {"m1": 15001, "m2": 15002, "tok": 15009}
_HUB_PORT = 15080
Row = list[Any]


class DockerLab:
    """Plays cases to Docker's daemon *program*, with files in *directory* (a short path)."""

    def __init__(self, directory: Path, program: Path | None = None) -> None:
        for name in ("certificates", "authority", "daemon"):
            (directory / name).mkdir()
        network = free_network((*_PORTS.values(), _HUB_PORT))
        addresses = {host: f"{network}.{n}" for n, host in enumerate((*_PORTS, "hub"), 11)}
        self._hosts = {host: f"{addresses[host]}:{port}" for host, port in _PORTS.items()}
        self._certificates = Certificates(
            directory / "certificates", [*addresses.values(), DOCKER_HUB]
        )
        places = {host: Place(addresses[host], (port,)) for host, port in _PORTS.items()}
        places["hub"] = Place(addresses["hub"], (_HUB_PORT,))
        self._played = ScriptedHosts(places, self._certificates)
        self._internet = SourceNetwork(Authority(directory / "authority", [DOCKER_HUB]))
        self._internet.start()
        self._internet.lead({DOCKER_HUB: f"http://{addresses['hub']}:{_HUB_PORT}"})
        self._docker = DockerDaemon(directory / "daemon", self._internet.environment(), program)
        self._mirrors: tuple[str, ...] = ()
        self._numbers = itertools.count(1)

    def stop(self) -> None:
        """End the daemon and close every port."""
        self._docker.stop()
        self._internet.stop()
        self._played.stop()

    def difference(self, story: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
        """In what dockerd does something else than the model, and what it asked."""
        single = an_image(f"{os.getpid()} {next(self._numbers)}", layers=1)
        image: Manifest = an_index(single) if story.get("index") else single
        behaviours = self._behaviours(story)
        name = "app:v1" if story["by"] == "tag" else f"app@{image.digest}"
        mirrors = [(scheme, self._hosts[host]) for scheme, host in story["mirrors"]]
        config = DaemonConfig(tuple(MirrorURL(*mirror) for mirror in mirrors))
        login = Login("u", "p", "docker login") if story["login"] else ANONYMOUS
        pull = run(name, config, self._network(behaviours, image), login)
        measured, ok = self._measured(story, name, mirrors, behaviours, image)
        modelled = [self._modelled_row(attempt) for attempt in pull.received]
        found = _row_differences(modelled, measured)
        if not found and ok != (pull.error is None):
            found = [f"outcome: model {pull.error or 'ok'}, measured {ok}"]
        return found, measured

    def _measured(
        self,
        story: Mapping[str, Any],
        name: str,
        mirrors: list[tuple[str, str]],
        behaviours: Mapping[str, HostBehaviour],
        image: Manifest,
    ) -> tuple[list[Row], bool]:
        urls = tuple(f"{scheme}://{host}" for scheme, host in mirrors)
        self._docker.forget()
        if urls != self._mirrors:
            self._docker.use_mirrors(*urls)
            self._mirrors = urls
        if story["login"]:
            self._docker.log_in(HUB_LOGIN, "u", "p")
        self._played.play(self._network(behaviours, image), behaviours)
        ran = self._docker.docker("pull", name)
        return [self._row(seen) for seen in self._played.end()], ran.ok

    def _behaviours(self, story: Mapping[str, Any]) -> dict[str, HostBehaviour]:
        authorities = {"trusted": None, "untrusted": self._certificates.untrusted}
        behaviours = {}
        for host in (*_PORTS, "hub"):
            document = dict(story["hosts"].get(host, {}))
            if document.get("auth", {}).get("type") == "bearer":
                realm = f"http://{self._hosts['tok']}/token"
                document["auth"] = {**document["auth"], "realm": realm}
            behaviours[host] = behaviour_from(document, authorities)
        return behaviours

    def _network(
        self, behaviours: Mapping[str, HostBehaviour], image: Manifest
    ) -> SimulatedNetwork:
        named = {self._hosts.get(host, DOCKER_HUB): found for host, found in behaviours.items()}
        return SimulatedNetwork(named, RegistryContent(image))

    def _row(self, seen: Seen) -> Row:
        request = seen.request
        credential = credential_of(request.header("Authorization"))
        where = self._where(request.host, request.scheme)
        return [*where, request.method, request.path, _shown(credential), seen.status]

    def _modelled_row(self, attempt: Attempt) -> Row:
        where = self._where(attempt.host, attempt.scheme)
        return [*where, attempt.method, attempt.path, _shown(attempt.credential), attempt.status]

    def _where(self, address: str, scheme: str) -> tuple[str, str]:
        """The logical host, and the scheme unless a proxy stands between."""
        for host, known in self._hosts.items():
            if known == address:
                return host, scheme
        return ("hub", "") if address == DOCKER_HUB else (address, scheme)


def _shown(credential: Credential) -> str:
    if credential.kind == "basic":
        return f"basic:{credential.user}:{credential.secret}"
    return f"bearer:{credential.secret}" if credential.kind == "bearer" else credential.kind


def _row_differences(model: list[Row], measured: list[Row]) -> list[str]:
    """Configuration and layers are fetched at the same time, so that blobs are compared by host and
    path. Where one of them fails, the other may be cut off; what an earlier host served may or may
    not be asked for again."""
    ordered = [[row for row in rows if not _is_blob(row)] for rows in (model, measured)]
    if ordered[0] != ordered[1]:
        return [f"model {model}, measured {measured}"]
    served = {row[3] for row in measured if _is_blob(row) and row[5] == 200}
    broken = {row[0] for row in model if _is_blob(row) and row[5] != 200}
    after: set[str] = set()
    for host in dict.fromkeys(row[0] for row in model if _is_blob(row)):
        fails = host in broken or host != next(row[0] for row in reversed(model) if _is_blob(row))
        for path in {row[3] for row in model if _is_blob(row) and row[0] == host}:
            wanted = [row for row in model if row[0] == host and row[3] == path]
            found = [row for row in measured if row[0] == host and row[3] == path]
            is_cut = fails and found == wanted[: len(found)]
            is_kept = not found and path in served and bool(after)
            if found != wanted and not is_cut and not is_kept:
                return [f"{host}: model {wanted}, measured {found}"]
        after.add(host)
    strangers = {(r[0], r[3]) for r in measured if _is_blob(r)} - {(r[0], r[3]) for r in model}
    return [f"measured, not in the model: {strangers}"] if strangers else []


def _is_blob(row: Row) -> bool:
    return "/blobs/" in row[3]
