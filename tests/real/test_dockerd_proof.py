"""The model of dockerd's registry-mirrors against a real dockerd, request by request.

A proxy on loopback leads Docker Hub's name to a scripted host; mirrors are contacted directly,
since dockerd never sends loopback addresses through a proxy. ``--dockerd-generated N --seed S``
generates other cases; see docs/client-models.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import strategies as st

from harness.clients.authority import Authority
from harness.clients.dockerd import HUB_LOGIN, DockerDaemon
from harness.clients.source_network import SourceNetwork
from harness.content import Manifest
from harness.nodes.models.dockerd import DOCKER_HUB, DaemonConfig, run
from harness.nodes.models.go_url import GoURL
from harness.nodes.models.network import ANONYMOUS, Login, SentCredential, credential_of
from harness.nodes.models.simulated_network import HostBehaviour, SimulatedNetwork
from tests.real.labs import HostLab, check_generated
from tests.unit.models.containerd_cases import shown

_PORTS = {"m1": 15001, "m2": 15002, "tok": 15009, "hub": 15080}
Row = list[Any]


class DockerLab(HostLab):
    """Runs cases on Docker's daemon *program*, with files in *directory* (a short path)."""

    def __init__(self, directory: Path, program: Path | None = None) -> None:
        super().__init__(directory, _PORTS, [DOCKER_HUB])
        (authority := directory / "authority").mkdir()
        (daemon := directory / "daemon").mkdir()
        self._internet = SourceNetwork(Authority(authority, [DOCKER_HUB]))
        self._internet.start()
        self._internet.lead({DOCKER_HUB: f"http://{self.hosts['hub']}"})
        self._docker = DockerDaemon(daemon, self._internet.environment(), program)
        self._mirrors: tuple[str, ...] = ()

    def stop(self) -> None:
        """End the daemon and close every port."""
        self._docker.stop()
        self._internet.stop()
        super().stop()

    def difference(self, case: Mapping[str, Any]) -> str:
        """How dockerd differs from the model; empty if they agree."""
        image = self.image(index=case["index"])
        documents = dict(case["hosts"])
        for host, document in documents.items():
            if document.get("auth", {}).get("type") == "bearer":
                realm = f"http://{self.hosts['tok']}/token"
                documents[host] = {**document, "auth": {**document["auth"], "realm": realm}}
        behaviours = self.behaviours(documents)
        name = "app:v1" if case["by"] == "tag" else f"app@{image.digest}"
        mirrors = [GoURL(scheme, self.hosts[host]) for scheme, host in case["mirrors"]]
        login = Login("u", "p", "docker login") if case["login"] else ANONYMOUS
        network = self._network(behaviours, image)
        pull = run(name, DaemonConfig(tuple(mirrors)), network, login)
        modelled = [
            self._row(a.host, a.scheme, a.method, a.path, a.credential, a.status)
            for a in pull.received
        ]
        urls = tuple(f"{mirror.scheme}://{mirror.host}" for mirror in mirrors)
        self._docker.forget()
        if urls != self._mirrors:
            self._docker.use_mirrors(*urls)
            self._mirrors = urls
        if case["login"]:
            self._docker.log_in(HUB_LOGIN, "u", "p")
        self.scripted.use(self._network(behaviours, image), behaviours)
        ran = self._docker.docker("pull", name)
        measured = []
        for seen in self.scripted.end():
            r, sent = seen.request, credential_of(seen.request.header("Authorization"))
            measured.append(self._row(r.host, r.scheme, r.method, r.path, sent, seen.status))
        found = _row_differences(modelled, measured)
        if not found and ran.ok != (pull.error is None):
            found = [f"outcome: model {pull.error or 'ok'}, measured {ran.ok}"]
        return f"{found}\n{json.dumps({**case, 'measured': measured}, indent=1)}" if found else ""

    def _network(
        self, behaviours: Mapping[str, HostBehaviour], image: Manifest
    ) -> SimulatedNetwork:
        named = {self.hosts[host]: found for host, found in behaviours.items() if host != "hub"}
        return SimulatedNetwork({**named, DOCKER_HUB: behaviours["hub"]}, image)

    def _row(
        self,
        address: str,
        scheme: str,
        method: str,
        path: str,
        credential: SentCredential,
        status: int | None,
    ) -> Row:
        # The proxy hides the scheme of requests to Docker Hub.
        where = ("hub", "") if address == DOCKER_HUB else (self.name_of(address), scheme)
        return [*where, method, path, shown(credential), status]


def _row_differences(model: list[Row], measured: list[Row]) -> list[str]:
    """The first difference. Configuration and layers are fetched concurrently, so blobs are
    compared by host and path. If one fails, the other may be missing; what an earlier host served
    may or may not be requested again."""
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
    extra = {(r[0], r[3]) for r in measured if _is_blob(r)} - {(r[0], r[3]) for r in model}
    return [f"measured, not in the model: {extra}"] if extra else []


def _is_blob(row: Row) -> bool:
    return "/blobs/" in row[3]


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[DockerLab]:
    # The path of a socket must be short.
    with TemporaryDirectory(prefix="dkr-", ignore_cleanup_errors=True) as directory:
        lab = DockerLab(Path(directory), request.config.getoption("dockerd"))
        try:
            yield lab
        finally:
            lab.stop()


# -- generated cases ----------------------------------------------------------------------------
_MANIFEST_RULES: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda on, do: {"on": on, "do": do},
    st.sampled_from([{"kind": "manifest-tag"}, {"kind": "manifest-digest"}, {"method": "HEAD"}]),
    st.one_of(
        st.builds(
            lambda status: {"status": status},
            st.sampled_from([400, 401, 403, 404, 405, 429, 500, 502, 503]),
        ),
        st.just({"html": True}),
        st.just({"no_digest_header": True}),
    ),
)
# dockerd repeats a layer after 5, 10, 15 and 20 seconds: only failures that it does not repeat.
_BLOB_RULES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(
        lambda obj, do: {"on": {"obj": obj}, "do": do},
        st.sampled_from(["config", "layer"]),
        st.sampled_from([{"status": 404}, {"html": True}, {"wrong_body": True}]),
    ),
    st.builds(
        lambda status: {"on": {"obj": "config"}, "do": {"status": status}},
        st.sampled_from([403, 429, 500]),
    ),
)
_PING_RULES: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda status: {"on": {"kind": "base"}, "do": {"status": status}},
    st.sampled_from([401, 404, 429, 500]),
)
_CHALLENGES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"type": "basic", "cred": "u:p"},
        {"type": "basic", "cred": "other:p"},
        {"type": "bearer", "service": "s", "token": "T-s"},
        {"type": "bearer", "service": "s", "token": "wrong"},
    ]
)
_HOSTS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.just({"down": True}),
    st.just({"store": False}),
    st.builds(lambda auth: {"auth": auth}, _CHALLENGES),
    st.builds(lambda auth: {"auth": auth, "store": False}, _CHALLENGES),
    st.builds(lambda rule: {"rules": [rule]}, _MANIFEST_RULES),
    st.builds(lambda rule: {"rules": [rule]}, _BLOB_RULES),
    st.builds(lambda rule: {"rules": [rule]}, _PING_RULES),
)
_MIRRORS = st.lists(
    st.tuples(st.sampled_from(["http", "http", "https"]), st.sampled_from(["m1", "m2"])),
    max_size=2,
    unique_by=lambda mirror: mirror[1],
)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Mirrors, host behaviours, an image of Docker Hub, with or without a login."""
    hosts = {host: {**draw(_HOSTS)} for host in ("m1", "m2")}
    if draw(st.booleans()):
        hosts["m1"]["tls"] = "plain"
    # Docker Hub is behind a proxy, so that only its answers vary.
    hosts["hub"] = draw(st.sampled_from([{}, {}, {"store": False}, {"auth": _BASIC}]))
    hosts["tok"] = draw(st.sampled_from([{}, {}, {"token": {"cred": "u:p"}}, {"down": True}]))
    return {
        "mirrors": draw(_MIRRORS),
        "hosts": {host: {**found} for host, found in hosts.items() if found},
        "by": draw(st.sampled_from(["tag", "tag", "digest"])),
        "index": draw(st.booleans()),
        "login": draw(st.booleans()),
    }


_BASIC = {"type": "basic", "cred": "u:p"}


def test_generated_cases_match_the_model(lab: DockerLab, request: pytest.FixtureRequest) -> None:
    check_generated("dockerd", request, cases(), lab.difference)
