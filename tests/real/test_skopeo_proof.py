"""The model of containers/image against a real skopeo, request by request.

``--skopeo BINARY`` tests another program, ``--skopeo-generated N --seed S`` generates other cases;
see docs/client-models.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import strategies as st

from harness.clients.running import run_client
from harness.content import Manifest
from harness.nodes.models.containers.execution import run
from harness.nodes.models.containers.registries_conf import (
    InvalidRegistriesConf,
    read_registries_conf,
)
from harness.nodes.models.containers.sources import read_auth_file
from harness.nodes.models.network import ClientRun, SentCredential, credential_of
from harness.nodes.models.simulated_network import SimulatedNetwork
from harness.system.process import clean_environment
from harness.system.real_parts import real_part
from tests.real.labs import HostLab, check_generated, rarely
from tests.unit.models.containerd_cases import shown
from tests.unit.models.worlds import auth_json, filled

_PORTS = {"m1": 15001, "m2": 15002, "m3": 15003, "up": 15000}


class SkopeoLab(HostLab):
    """Runs cases on skopeo *program*, with files in *directory*."""

    def __init__(self, directory: Path, program: Path) -> None:
        super().__init__(directory, _PORTS)
        self._program = program

    def difference(self, generated: Mapping[str, Any]) -> str:
        """How skopeo differs from the model; empty if they agree."""
        image = self.image(index=generated.get("imagekind") == "index")
        case = filled(generated, {**self.hosts, "digest": image.digest})
        copy = self._modelled(case, image)
        modelled = [
            self._row(a.host, a.method, a.path, a.credential, a.scheme, a.status)
            for a in copy.received
        ]
        outcome, measured = self._measured(case, image)
        if _by_object(modelled) == _by_object(measured) and copy.outcome == outcome:
            return ""
        return (
            f"model {copy.outcome} {copy.error} {modelled}, measured {outcome} {measured}\n"
            f"{generated['registries.conf']}\n{json.dumps(generated, indent=1)}"
        )

    def _modelled(self, case: Mapping[str, Any], image: Manifest) -> ClientRun:
        try:
            config = read_registries_conf(case["registries.conf"], case.get("drop-ins", {}))
        except InvalidRegistriesConf as error:
            return ClientRun(error=error.reason)
        found = self.behaviours(case.get("hosts", {}))
        hosts = {self.hosts[host]: behaviour for host, behaviour in found.items()}
        auth_file = read_auth_file(auth_json(case.get("auths", {})))
        return run(case["image"], config, SimulatedNetwork(hosts, image), auth_file)

    def _measured(self, case: Mapping[str, Any], image: Manifest) -> tuple[str, list[Any]]:
        behaviours = self.behaviours(case.get("hosts", {}))
        hosts = {self.hosts[host]: behaviour for host, behaviour in behaviours.items()}
        self.scripted.use(SimulatedNetwork(hosts, image), behaviours)
        with TemporaryDirectory(dir=self.directory) as name:
            home = Path(name)
            drop_ins = home / ".config/containers/registries.conf.d"
            drop_ins.mkdir(parents=True)
            for file, text in case.get("drop-ins", {}).items():
                (drop_ins / file).write_text(text)
            (home / "registries.conf").write_text(case["registries.conf"])
            (home / "auth.json").write_text(auth_json(case.get("auths", {})))
            environment = clean_environment(
                {
                    "HOME": name,
                    "XDG_RUNTIME_DIR": name,
                    "REGISTRY_AUTH_FILE": f"{name}/auth.json",
                    "SSL_CERT_FILE": str(self.certificates.system_roots),
                    "XDG_CONFIG_HOME": f"{name}/.config",
                }
            )
            options = ("--registries-conf", home / "registries.conf", "--registries.d", home / "x")
            copy = ("copy", f"docker://{case['image']}", f"dir:{home}/out")
            ran = run_client([self._program, "--insecure-policy", *options, *copy], environment)
        rows = []
        for seen in self.scripted.end():
            r, sent = seen.request, credential_of(seen.request.header("Authorization"))
            rows.append(self._row(r.host, r.method, r.path, sent, r.scheme, seen.status))
        return "ok" if ran.ok else "error", rows

    def _row(
        self,
        address: str,
        method: str,
        path: str,
        credential: SentCredential,
        scheme: str,
        status: int | None,
    ) -> list[Any]:
        return [self.name_of(address), method, path, shown(credential), scheme, status]


def _by_object(rows: list[list[Any]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """The rows in order, and those of blobs by path: skopeo copies blobs concurrently."""
    blobs: dict[str, list[Any]] = {}
    for row in rows:
        if "/blobs/" in row[2]:
            blobs.setdefault(row[2], []).append(row)
    return [row for row in rows if "/blobs/" not in row[2]], blobs


@pytest.fixture(scope="module")
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SkopeoLab]:
    program: Path = request.config.getoption("skopeo") or real_part("skopeo")
    lab = SkopeoLab(tmp_path_factory.mktemp("skopeo"), program.resolve())
    try:
        yield lab
    finally:
        lab.stop()


# -- generated cases ----------------------------------------------------------------------------
_USAGES = st.sampled_from(["all", "digest-only", "tag-only"])
_LOCATIONS = st.sampled_from(["{m1}", "{m2}", "{m3}", "{m1}/cache", "{up}"])


@st.composite
def _registry(draw: st.DrawFn) -> str:
    prefix = draw(rarely(st.sampled_from(["{up}/team", "{up}/team/app", "{up}/other", "{m1}"])))
    location = draw(st.sampled_from(["{up}", "{up}", "{up}", "{m3}"]))
    if prefix is not None:
        location += prefix[len(prefix.partition("/")[0]) :]
    lines = ["[[registry]]", f'location = "{location}"']
    lines += [f'prefix = "{prefix}"'] if prefix else []
    lines += ["insecure = true"] if draw(st.booleans()) else []
    lines += ["blocked = true"] if draw(rarely(rarely(st.just(True)))) else []
    lines += ["mirror-by-digest-only = true"] if draw(rarely(rarely(st.just(True)))) else []
    for location_of_mirror in draw(st.lists(_LOCATIONS, max_size=3)):
        lines += ["[[registry.mirror]]", f'location = "{location_of_mirror}"']
        lines += ["insecure = true"] if draw(st.booleans()) else []
        usage = draw(rarely(_USAGES))
        lines += [f'pull-from-mirror = "{usage}"'] if usage else []
    return "\n".join(lines) + "\n"


@st.composite
def _version_1(draw: st.DrawFn) -> str:
    """Lists of names; sometimes with something of version 2, which is an error."""
    names = st.lists(
        st.sampled_from(["{up}", "{up}/", "{up}/team", "{m1}", "http://{up}"]), max_size=2
    )
    lists = {kind: draw(names) for kind in draw(st.sets(st.sampled_from(["insecure", "block"])))}
    mixed = draw(rarely(rarely(st.just('unqualified-search-registries = ["{m1}"]\n'))))
    lines = [
        f"[registries.{kind}]\nregistries = {json.dumps(found)}" for kind, found in lists.items()
    ]
    return (mixed or "") + "\n".join([*lines, ""])


_RULES: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda on, do: {"on": on, "do": do},
    st.sampled_from(
        [
            {"kind": "base"},
            {"kind": "manifest-tag"},
            {"kind": "manifest-digest"},
            {"obj": "layer"},
            {"obj": "config"},
        ]
    ),
    # Not 429: skopeo waits two seconds or more before it repeats the request (measured).
    st.one_of(
        st.builds(
            lambda status: {"status": status},
            st.sampled_from([400, 401, 403, 404, 405, 410, 500, 502, 503, 504]),
        ),
        st.just({"html": True}),
        st.just({"wrong_body": True}),
    ),
)


@st.composite
def _behaviour(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    match draw(st.integers(0, 8)):
        case 1:
            found["down"] = True
        case 2 | 3:
            found["store"] = False
        case 4:
            found["tls"] = draw(st.sampled_from(["plain", "tls"]))
        case 5:
            found["cert"] = "untrusted"
        case 6 | 7:
            found["rules"] = [draw(_RULES)]
    if draw(rarely(st.just(True))):
        found["auth"] = {"type": "basic", "cred": "u:p"}
    return found


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """A configuration, host behaviours, an image and logins."""
    case: dict[str, Any] = {
        "registries.conf": draw(
            st.integers(0, 7).flatmap(lambda n: _registry() if n else _version_1())
        ),
        "image": draw(st.sampled_from(["{up}/team/app:v1", "{up}/team/app@{digest}"])),
        "hosts": {
            host: found for host in ("m1", "m2", "m3", "up") if (found := draw(_behaviour()))
        },
    }
    if drop_in := draw(rarely(st.one_of(_registry(), _registry(), _version_1()))):
        case["drop-ins"] = {draw(st.sampled_from(["10.conf", "ignored.txt"])): drop_in}
    logins = draw(st.lists(st.sampled_from(["{m1}", "{m2}", "{up}"]), max_size=2, unique=True))
    if logins:
        case["auths"] = {host: draw(st.sampled_from(["u:p", "u:wrong"])) for host in logins}
    return case


def test_generated_cases_match_the_model(lab: SkopeoLab, request: pytest.FixtureRequest) -> None:
    check_generated("skopeo", request, cases(), lab.difference)
