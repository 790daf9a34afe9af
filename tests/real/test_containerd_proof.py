"""The containerd model against a real containerd, request by request.

``--containerd BINARY`` tests another release, ``--containerd-generated N --seed S`` generates other
cases, ``--containerd-all`` runs every measured case of the release; see docs/client-models.md.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from harness.clients.authority import Certificates
from harness.clients.containerd import ContainerdDaemon, Sandbox, version_of
from harness.clients.scripted_hosts import ScriptedHosts, Seen
from harness.nodes.models.network import credential_of
from harness.nodes.models.simulated_network import RegistryContent
from harness.system.real_parts import missing_part, real_part
from tests.real.containerd_generated import cases
from tests.real.labs import free_network, run_generated
from tests.unit.models.containerd_cases import (
    Case,
    behaviours_of,
    config_toml_of,
    differences,
    files_of,
    network_of,
    pulls,
    read_cases,
    shown,
)
from tests.unit.models.worlds import HUB_HOSTS, NAMED_HOSTS, Stand, World

_FIXTURES = Path(__file__).parents[2] / "fixtures" / "containerd"
_SAMPLE = 4
"""Every fourth measured case runs unless ``--containerd-all`` is given."""


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[ContainerdLab]:
    program = request.config.getoption("containerd") or real_part("containerd")
    # The path of a socket must be short.
    with TemporaryDirectory(prefix="ctd-") as directory:
        lab = ContainerdLab(Path(directory), program.resolve())
        try:
            yield lab
        finally:
            lab.stop()


def test_measured_cases_match_the_model(lab: ContainerdLab, request: pytest.FixtureRequest) -> None:
    cases = [
        case
        for case in read_cases(request.config.getoption("containerd_cases"))
        if lab.release in case.releases
    ]
    if not request.config.getoption("containerd_all"):
        cases = cases[::_SAMPLE]
    if not cases:
        pytest.skip(f"nothing was measured on containerd {lab.release}")
    failures = {}
    for case in cases:
        found, _ = lab.difference(case)
        if found:
            failures[case.id] = found
    assert not failures, json.dumps(failures, indent=1)


def test_generated_cases_match_the_model(
    lab: ContainerdLab, request: pytest.FixtureRequest
) -> None:
    """Random files, hosts, credentials and clients; a difference shrinks to its simplest case."""
    count: int = request.config.getoption("containerd_generated")
    seed: int = request.config.getoption("seed")
    recorded: list[dict[str, Any]] = []

    def check(case: dict[str, Any]) -> None:
        found, measured = lab.difference(Case(case, "generated"))
        identity = f"X{seed}-{len(recorded)}"
        recorded.append({"id": identity, **case, "expect": {lab.release: measured}})
        files = "".join(f"--- {path}\n{text}" for path, text in case["files"].items())
        assert not found, (
            f"model and containerd {lab.release} differ (seed {seed}):\n{found}\n{files}"
            f"As a case for --containerd-cases: {json.dumps(recorded[-1], indent=1)}"
        )

    try:
        run_generated(cases(), check, count=count, seed=seed)
    finally:
        file: Path | None = request.config.getoption("record")
        if file is not None:
            file.write_text(json.dumps({"cases": recorded}, indent=1))
    sys.stdout.write(f"{len(recorded)} cases of seed {seed} on containerd {lab.release}\n")
    assert len(recorded) >= count


_PORTS = {"m1": 15001, "m2": 15002, "m3": 15003, "up": 15000, "tok": 15009}
_ETC = "/etc/containerd"
_MOST_DAEMONS = 6
_TIMEOUT = 90.0
_TIMEOUT_IF_HANGING = 3.0
"""Seconds until a pull is ended that hangs according to the model."""


class ContainerdLab:
    """Runs cases on containerd *program*, with all files below *directory* (a short path)."""

    def __init__(self, directory: Path, program: Path) -> None:
        self._directory = directory
        (certificates := directory / "certificates").mkdir()
        network = free_network((80, 443, *_PORTS.values()))
        self._hosts = (*NAMED_HOSTS, *HUB_HOSTS)
        addresses = {host: f"{network}.{n}" for n, host in enumerate(self._hosts, 11)}
        names = {host: f"{host}.test" for host in NAMED_HOSTS} | HUB_HOSTS
        made = Certificates(certificates, [*names.values(), *addresses.values()])
        self._stand = Stand(
            certs_d=f"{directory}/certs.d",
            other_certs_d=f"{directory}/certs2.d",
            certificates=str(certificates),
            certificate_files=made.files,
            trusted=made.trusted,
            untrusted=made.untrusted,
            network=network,
        )
        self._sandbox = Sandbox(
            directory,
            program,
            {names[host]: addresses[host] for host in self._hosts},
            made.system_roots,
        )
        self._sandbox.prepare()
        self.release = version_of(program)
        ports = {host: (_PORTS[host], 80, 443) for host in NAMED_HOSTS}
        listeners = {h: (addresses[h], ports.get(h, (80, 443))) for h in self._hosts}
        self._scripted = ScriptedHosts(listeners, made)
        self._daemons: dict[str, ContainerdDaemon] = {}
        self._numbers = itertools.count(1)

    def stop(self) -> None:
        """End every daemon and close every port."""
        for daemon in self._daemons.values():
            daemon.stop()
        self._scripted.stop()

    def world(self, case: Case) -> World:
        """A world for one run of *case*, with a new image, since the daemon keeps content."""
        named = tuple((host, f"{host}.test", _PORTS[host]) for host in NAMED_HOSTS)
        kind = case.document.get("imagekind", "image")
        seed = f"{os.getpid()} {next(self._numbers)}"
        return World(named, "team/app", kind, seed, self._stand)

    def difference(self, case: Case) -> tuple[list[str], dict[str, Any]]:
        """The differences between daemon and model (empty if they agree), and what the daemon did
        as an ``expect`` entry with placeholders."""
        world = self.world(case)
        modelled = list(pulls(case, self.release, world))
        hangs = any(p.error and p.error.code == "DEADLINE_EXCEEDED" for p in modelled)
        hangs |= any(p.seconds_lost == float("inf") for p in modelled)
        measured = self._measured(case, world, _TIMEOUT_IF_HANGING if hangs else _TIMEOUT)
        recorded = replace(case, document={**case.document, "expect": {self.release: measured}})
        found = [differences(recorded, self.release, pull, world) for pull in modelled]
        first = [] if [] in found else found[0]
        return first, placeholders_for(measured, world)

    # -- running --------------------------------------------------------------------------------
    def _measured(self, case: Case, world: World, timeout: float) -> dict[str, Any]:
        self._write(case, world)
        daemon = self._daemon(config_toml_of(case, world))
        document = world.fill(case.document)
        if document["client"] == "ctr-push":
            self._bring_image(daemon, world, document["image"])
        behaviours = behaviours_of(case, world)
        self._scripted.use(network_of(case, world), behaviours)
        if document["client"] == "cri":
            pulled = daemon.images.pull(document["image"], document.get("auth"), timeout)
            code = None if pulled.code == "OK" else pulled.code
            ended = {"grpc_code": code, "error": _normal(pulled.message, world)} if code else {}
        else:
            ended = self._ctr(daemon, document, timeout, world)
        seen = self._scripted.end()
        if document["client"] == "cri":
            daemon.images.remove(document["image"], _TIMEOUT)
        return {
            "outcome": "error" if ended else "ok",
            "requests": [_row(each, world) for each in seen],
            **ended,
            **_details(seen, world),
        }

    def _ctr(
        self, daemon: ContainerdDaemon, document: Mapping[str, Any], timeout: float, world: World
    ) -> dict[str, Any]:
        command = {
            "ctr-pull": ("images", "pull"),
            "ctr-fetch": ("content", "fetch"),
            "ctr-push": ("images", "push"),
        }[document["client"]]
        hosts = document.get("hosts_dir", True)
        directory = ("--hosts-dir", world.stand.certs_d) if hosts else ()
        words = (*command, *directory, *document.get("ctr_args", ()), document["image"])
        try:
            ran = daemon.ctr(*words, timeout=timeout)
        except subprocess.TimeoutExpired:
            return {"error": "ctr: context deadline exceeded"}
        if ran.ok:
            return {}
        return {"error": _normal(ran.output.strip().splitlines()[-1], world)}

    def _bring_image(self, daemon: ContainerdDaemon, world: World, image: str) -> None:
        """Pull the image that is pushed next."""
        healthy = Case({"hosts": {}}, "healthy")
        self._scripted.use(network_of(healthy, world), behaviours_of(healthy, world))
        ran = daemon.ctr("images", "pull", "--plain-http", image, timeout=_TIMEOUT)
        assert ran.ok, ran.output
        self._scripted.end()

    def _daemon(self, registry_toml: str) -> ContainerdDaemon:
        """The daemon with this configuration; stops the least recently used one of too many."""
        daemon = self._daemons.pop(registry_toml, None)
        if daemon is None:
            if len(self._daemons) >= _MOST_DAEMONS:
                self._daemons.pop(next(iter(self._daemons))).stop()
            place = self._directory / f"d{next(self._numbers)}"
            daemon = ContainerdDaemon(self._sandbox, place, registry_toml)
        self._daemons[registry_toml] = daemon
        return daemon

    def _write(self, case: Case, world: World) -> None:
        etc = self._sandbox.etc
        for root in (world.stand.certs_d, world.stand.other_certs_d, f"{etc}/certs.d"):
            shutil.rmtree(root, ignore_errors=True)
            Path(root).mkdir()
        for path, text in files_of(case, world).items():
            if path.startswith(_ETC) and not Path(_ETC).is_dir():
                missing_part(f"this machine has no {_ETC}, so nothing can be mounted there")
            place = Path(path.replace(_ETC, str(etc), 1) if path.startswith(_ETC) else path)
            if path.endswith("/"):
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)


# -- in the format of the cases -----------------------------------------------------------------
def _row(seen: Seen, world: World) -> list[Any]:
    r = seen.request
    sent, ns = credential_of(r.header("Authorization")), dict(r.query).get("ns")
    host = world.host_at(r.host)
    return [host, r.method, r.path, ns, shown(sent), r.scheme, seen.status]


def _details(seen: list[Seen], world: World) -> dict[str, Any]:
    """Headers, certificates and token requests; empty ones are left out."""
    content = RegistryContent(world.image)
    headers, forms, queries = [], [], []
    for each in seen:
        request = each.request
        named = {n: list(v) for n, v in request.headers.items() if n.lower().startswith("x-")}
        is_token = request.path.endswith("/token")
        if named:
            reference = request.path.rpartition("/")[2]
            kind = content.kind(reference) if ":" in reference else "tag"
            kind = "token" if is_token else kind
            headers.append([world.host_at(request.host), request.scheme, kind, named])
        if request.form:
            forms.append(dict(request.form))
        if is_token and request.method == "GET":
            names = dict(request.query)
            queries.append(
                {n: " ".join(v for name, v in request.query if name == n) for n in names}
            )
    shown = {
        (world.host_at(s.request.host), s.client_certificate) for s in seen if s.client_certificate
    }
    details = {
        "x_headers": headers,
        "client_cert_cn": [list(pair) for pair in sorted(shown)],
        "token_forms": forms,
        "token_queries": queries,
    }
    return {name: found for name, found in details.items() if found}


def _normal(message: str, world: World) -> str:
    return message.replace(world.stand.certs_d, "<config_path>")


def placeholders_for(value: Any, world: World) -> Any:
    """*value* with names, addresses and digests replaced by their placeholders, at any depth."""
    if isinstance(value, str):
        for name, known in sorted(world.values.items(), key=lambda item: -len(item[1])):
            before = "" if known.startswith("sha256:") else r"(?<![\w.-])"
            pattern = rf"{before}{re.escape(known)}(?![\w-])"
            value = re.sub(pattern, f"{{{name}}}", value)
        # The format keeps the port of {up} after an encoded colon.
        return value.replace(f"%3A{_PORTS['up']}", "%3A5000")
    if isinstance(value, Mapping):
        return {key: placeholders_for(item, world) for key, item in value.items()}
    if isinstance(value, list):
        return [placeholders_for(item, world) for item in value]
    return value
