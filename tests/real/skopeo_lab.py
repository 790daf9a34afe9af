"""Cases played to a real skopeo: files as the data says, recorded in the data's own form."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.clients.scripted_hosts import Certificates, Place, ScriptedHosts, Seen
from harness.content import Manifest, an_image, an_index
from harness.nodes.models.attempts import Attempt, Credential, credential_of
from harness.nodes.models.behaviours import HostBehaviour, behaviour_from
from harness.nodes.models.containers.execution import ImageCopy, simulate
from harness.nodes.models.containers.registries_conf import (
    InvalidRegistriesConf,
    read_registries_conf,
)
from harness.nodes.models.containers.sources import read_auth_file
from harness.nodes.models.simulated_network import RegistryContent, SimulatedNetwork
from harness.system.process import clean_environment
from tests.real.free_addresses import free_network

__all__ = ["SkopeoLab"]

_PORTS = {"m1": 15001, "m2": 15002, "m3": 15003, "up": 15000}
_PATIENCE = 60.0


class SkopeoLab:
    """Plays cases to skopeo *program*, with files in *directory*."""

    def __init__(self, directory: Path, program: Path) -> None:
        self._directory = directory
        self._program = program
        (certificates := directory / "certificates").mkdir()
        network = free_network(_PORTS.values())
        addresses = {host: f"{network}.{n}" for n, host in enumerate(_PORTS, 11)}
        self._hosts = {host: f"{addresses[host]}:{port}" for host, port in _PORTS.items()}
        self._certificates = Certificates(certificates, list(addresses.values()))
        places = {host: Place(addresses[host], (port,)) for host, port in _PORTS.items()}
        self._played = ScriptedHosts(places, self._certificates)
        self._numbers = itertools.count(1)

    def stop(self) -> None:
        """Close every port."""
        self._played.stop()

    def difference(self, story: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """In what skopeo does something else than the model, and what it did."""
        single = an_image(f"{os.getpid()} {next(self._numbers)}", layers=1)
        image: Manifest = an_index(single) if story.get("imagekind") == "index" else single
        case = _filled(story, self._values(image))
        copy = self._modelled(case, image)
        measured = self._measured(case, image)
        # skopeo copies blobs at once: compared path by path, like their order in the data.
        modelled = [self._modelled_row(a) for a in copy.attempts if a.received]
        found = []
        if _by_object(modelled) != _by_object(measured["requests"]):
            found = [f"requests: model {modelled}, measured {measured['requests']}"]
        elif copy.outcome != measured["outcome"]:
            found = [f"outcome: model {copy.outcome} {copy.error}, measured {measured}"]
        return found, measured

    def _values(self, image: Manifest) -> dict[str, str]:
        return {**self._hosts, "digest": image.digest}

    def _behaviours(self, case: Mapping[str, Any]) -> dict[str, HostBehaviour]:
        authorities: dict[str, bytes | None] = {
            "trusted": None,
            "untrusted": self._certificates.untrusted,
        }
        return {
            host: behaviour_from(case.get("hosts", {}).get(host, {}), authorities)
            for host in _PORTS
        }

    def _modelled(self, case: Mapping[str, Any], image: Manifest) -> ImageCopy:
        try:
            config = read_registries_conf(case["registries.conf"], case.get("drop-ins", {}))
        except InvalidRegistriesConf as error:
            return ImageCopy(error=error.reason)
        hosts = {self._hosts[h]: b for h, b in self._behaviours(case).items()}
        auth_file = read_auth_file(_auth_json(case))
        return simulate(case["image"], config, hosts, auth_file=auth_file, content=image)

    def _measured(self, case: Mapping[str, Any], image: Manifest) -> dict[str, Any]:
        behaviours = self._behaviours(case)
        hosts = {self._hosts[host]: behaviour for host, behaviour in behaviours.items()}
        network = SimulatedNetwork(hosts, RegistryContent(image))
        self._played.play(network, behaviours)
        with TemporaryDirectory(dir=self._directory) as name:
            home = Path(name)
            drop_ins = home / ".config/containers/registries.conf.d"
            drop_ins.mkdir(parents=True)
            for file, text in case.get("drop-ins", {}).items():
                (drop_ins / file).write_text(text)
            (home / "registries.conf").write_text(case["registries.conf"])
            (home / "auth.json").write_text(_auth_json(case))
            done = subprocess.run(
                [
                    self._program,
                    "--insecure-policy",
                    *("--registries-conf", home / "registries.conf"),
                    *("--registries.d", home / "none"),
                    "copy",
                    f"docker://{case['image']}",
                    f"dir:{home}/out",
                ],
                env=clean_environment(
                    {
                        "HOME": name,
                        "XDG_RUNTIME_DIR": name,
                        "REGISTRY_AUTH_FILE": f"{name}/auth.json",
                        "SSL_CERT_FILE": str(self._certificates.system_roots),
                        "XDG_CONFIG_HOME": f"{name}/.config",
                    }
                ),
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        return {
            "outcome": "error" if done.returncode else "ok",
            "error": done.stderr.strip().rpartition("\n")[2] or None,
            "requests": [self._row(seen) for seen in self._played.end()],
        }

    def _row(self, seen: Seen) -> list[Any]:
        request = seen.request
        shown = _shown(credential_of(request.header("Authorization")))
        host = self._name(request.host)
        return [host, request.method, request.path, None, shown, request.scheme, seen.status]

    def _modelled_row(self, attempt: Attempt) -> list[Any]:
        shown = _shown(attempt.credential)
        host = self._name(attempt.host)
        return [host, attempt.method, attempt.path, None, shown, attempt.scheme, attempt.status]

    def _name(self, address: str) -> str:
        return next((name for name, known in self._hosts.items() if known == address), address)


def _shown(credential: Credential) -> str:
    if credential.kind == "basic":
        return f"basic:{credential.user}:{credential.secret}"
    return credential.kind


def _by_object(rows: list[list[Any]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """The rows in order, those of blobs apart and by path."""
    blobs: dict[str, list[Any]] = {}
    for row in rows:
        if "/blobs/" in row[2]:
            blobs.setdefault(row[2], []).append(row)
    return [row for row in rows if "/blobs/" not in row[2]], blobs


def _auth_json(case: Mapping[str, Any]) -> str:
    encoded = {
        host: {"auth": base64.b64encode(login.encode()).decode()}
        for host, login in case.get("auths", {}).items()
    }
    return json.dumps({"auths": encoded})


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, known in values.items():
            value = value.replace(f"{{{name}}}", known)
        return value
    if isinstance(value, Mapping):
        return {_filled(k, values): _filled(v, values) for k, v in value.items()}
    return [_filled(item, values) for item in value] if isinstance(value, list) else value
