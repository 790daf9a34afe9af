"""The model of skopeo against every measured case.

``--registries-conf-cases FILE`` runs another file of the same format. A case has the behaviours of
its hosts in ``hosts`` and the logins in ``auths``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.content import an_image
from harness.nodes.models.containers.execution import run
from harness.nodes.models.containers.registries_conf import (
    InvalidRegistriesConf,
    read_registries_conf,
)
from harness.nodes.models.containers.sources import read_auth_file
from harness.nodes.models.network import Attempt, ClientRun, Failure
from harness.nodes.models.simulated_network import SimulatedNetwork
from tests.unit.models.worlds import UNTRUSTED_AUTHORITY, auth_json, behaviour_from, filled

HOSTS = {
    "m1": "127.0.78.1:5001",
    "m2": "127.0.78.2:5002",
    "m3": "127.0.78.3:5003",
    "up": "127.0.78.4:5000",
}
IMAGE = an_image(layers=1)
VALUES = HOSTS | {
    "digest": IMAGE.digest,
    "manifest": IMAGE.digest,
    "config": IMAGE.blobs[0].digest,
    "layer": IMAGE.blobs[1].digest,
}
EVENTS = {Failure.UNTRUSTED: "tls-failed", Failure.NOT_TLS: "tls-hello-to-plain-port"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "copy_case" in metafunc.fixturenames:
        file: Path = metafunc.config.getoption("registries_conf_cases")
        cases = json.loads(file.read_text())["cases"]
        metafunc.parametrize("copy_case", [pytest.param(c, id=c["id"]) for c in cases])


def test_the_model_matches_the_measurement_of_skopeo(copy_case: dict[str, Any]) -> None:
    case = filled(copy_case, VALUES)
    copy = copied(case)
    seen = [row_of(a) for a in copy.attempts if a.received or a.failure in EVENTS]
    assert seen == case["requests"]
    assert copy.outcome == case["outcome"]
    assert error_of(copy) == normal(case["error"])


def copied(case: Mapping[str, Any]) -> ClientRun:
    try:
        config = read_registries_conf(case["registries.conf"])
    except InvalidRegistriesConf as error:
        prefix = f"initializing source docker://{case['image']}: loading registries configuration: "
        where = f'loading registries configuration "{error.file}": '
        return ClientRun(error=f"{prefix}{where}{error.reason}")
    authorities = {"untrusted": UNTRUSTED_AUTHORITY}
    hosts = {
        HOSTS[name]: behaviour_from(document, authorities)
        for name, document in case.get("hosts", {}).items()
    }
    auth_file = read_auth_file(auth_json(case.get("auths", {})))
    return run(case["image"], config, SimulatedNetwork(hosts, IMAGE), auth_file)


def name_of(address: str) -> str:
    return next(name for name, known in HOSTS.items() if known == address)


def row_of(attempt: Attempt) -> list[Any]:
    host = name_of(attempt.host)
    if attempt.failure in EVENTS:
        return [host, EVENTS[attempt.failure]]
    credential = attempt.credential
    shown = f"basic:{credential.user}:{credential.secret}" if credential.kind == "basic" else "none"
    return [host, attempt.method, attempt.path, None, shown, attempt.scheme, attempt.status]


def error_of(copy: ClientRun) -> str | None:
    return None if copy.error is None else normal(json.dumps(copy.error))


def normal(text: str | None) -> str | None:
    """*text* without digests, directories, and the messages of the mock registries."""
    if text is None:
        return None
    for pattern, replacement in {
        r"sha256:(?:[0-9a-f]{64}|<d>)": "sha256:<d>",
        r"<dir>/(?:\.config/containers/)?": "",
        r"unknown: (?:nope|status 404|scripted 404)": "unknown: ...",
    }.items():
        text = re.sub(pattern, replacement, text)
    return text.strip('"')[:240]  # The recording has 240 characters of a message.
