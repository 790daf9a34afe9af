"""The model of skopeo against every measured case.

``--registries-conf-cases FILE`` runs another file of the same format. A case has the behaviours of
its hosts in ``hosts`` and the logins in ``auths``; otherwise both are derived from the recorded
requests.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.content import an_image
from harness.nodes.models.attempts import Attempt
from harness.nodes.models.behaviours import HostBehaviour
from harness.nodes.models.containers.execution import ImageCopy, simulate
from harness.nodes.models.containers.registries_conf import (
    InvalidRegistriesConf,
    read_registries_conf,
)
from harness.nodes.models.containers.sources import read_auth_file
from harness.nodes.models.network import Failure
from tests.unit.models.worlds import UNTRUSTED_AUTHORITY, behaviour_from

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
    case = fill(copy_case)
    copy = copied(case)
    seen = [row_of(a) for a in copy.attempts if a.received or a.failure in EVENTS]
    assert seen == case["requests"]
    assert copy.outcome == case["outcome"]
    assert error_of(copy) == normal(case["error"])


def copied(case: Mapping[str, Any]) -> ImageCopy:
    try:
        config = read_registries_conf(case["registries.conf"])
    except InvalidRegistriesConf as error:
        prefix = f"initializing source docker://{case['image']}: loading registries configuration: "
        where = f'loading registries configuration "{error.file}": '
        return ImageCopy(error=f"{prefix}{where}{error.reason}")
    return simulate(
        case["image"],
        config,
        hosts_of(case),
        auth_file=read_auth_file(auth_json(case)),
        content=IMAGE,
    )


def fill(value: Any) -> Any:
    """*value* with every placeholder replaced."""
    if isinstance(value, str):
        return re.sub(r"\{([a-z0-9]+)\}", lambda m: VALUES.get(m[1], m[0]), value)
    if isinstance(value, dict):
        return {key: fill(item) for key, item in value.items()}
    return [fill(item) for item in value] if isinstance(value, list) else value


def name_of(address: str) -> str:
    return next(name for name, known in HOSTS.items() if known == address)


def row_of(attempt: Attempt) -> list[Any]:
    host = name_of(attempt.host)
    if attempt.failure in EVENTS:
        return [host, EVENTS[attempt.failure]]
    credential = attempt.credential
    shown = f"basic:{credential.user}:{credential.secret}" if credential.kind == "basic" else "none"
    return [host, attempt.method, attempt.path, None, shown, attempt.scheme, attempt.status]


def error_of(copy: ImageCopy) -> str | None:
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


# -- behaviours of hosts -------------------------------------------------------------------------
def hosts_of(case: Mapping[str, Any]) -> dict[str, HostBehaviour]:
    documents = case.get("hosts") or recorded_hosts(case)
    authorities = {"untrusted": UNTRUSTED_AUTHORITY}
    return {
        address: behaviour_from(documents.get(name, {}), authorities)
        for name, address in HOSTS.items()
    }


def auth_json(case: Mapping[str, Any]) -> str:
    logins = case.get("auths") or {
        HOSTS[row[0]]: row[4].removeprefix("basic:")
        for row in requests_of(case)
        if row[4] not in {"none", "basic::"}
    }
    return json.dumps(
        {
            "auths": {
                host: {"auth": base64.b64encode(login.encode()).decode()}
                for host, login in logins.items()
            }
        }
    )


def requests_of(case: Mapping[str, Any]) -> list[list[Any]]:
    return [row for row in case["requests"] if len(row) > 2]


def recorded_hosts(case: Mapping[str, Any]) -> dict[str, Any]:
    """Behaviours that give the recorded answers."""
    hosts: dict[str, Any] = {}
    for name in HOSTS:
        rows = [row for row in requests_of(case) if row[0] == name]
        events = {row[1] for row in case["requests"] if row[0] == name and len(row) == 2}
        if "tls-failed" in events:
            hosts[name] = {"cert": "untrusted"}
        elif not rows:
            hosts[name] = {"down": True}
        else:
            hosts[name] = {"rules": [*recorded_rules(rows), *described_rules(case["id"])]}
            if "tls-hello-to-plain-port" in events:
                hosts[name]["tls"] = "plain"
            challenged = [row for row in rows if row[6] == 401]
            if challenged:
                accepted = [row[4] for row in rows if row[4] != "none" and row[6] == 200]
                credential = accepted[0].removeprefix("basic:") if accepted else "x:y"
                hosts[name]["auth"] = {"type": "basic", "cred": credential}
    return hosts


def recorded_rules(rows: Sequence[Sequence[Any]]) -> Iterable[dict[str, Any]]:
    for path in {row[2]: None for row in rows}:
        statuses = [row[6] for row in rows if row[2] == path]
        on = filters(path)
        if on is None:
            continue
        for status in statuses[:-1] if len(set(statuses)) > 1 else ():
            if status != 401:
                yield {"on": on, "times": 1, "do": {"status": status}}
        if statuses[-1] is None:
            yield {"on": on, "do": {"truncate": 100}}
        elif statuses[-1] not in {200, 401}:
            yield {"on": on, "do": {"status": statuses[-1]}}


def filters(path: str) -> dict[str, str] | None:
    if path == "/v2/":
        return {"kind": "base"}
    if "/manifests/" in path:
        return {"kind": "manifest-digest" if ":" in path else "manifest-tag"}
    if "/blobs/" in path:
        return {"obj": "layer" if path.endswith(VALUES["layer"]) else "config"}
    return None


def described_rules(case_id: str) -> Iterable[dict[str, Any]]:
    """Rules that only the name of the case describes."""
    if "html-200-manifest" in case_id:
        yield {"on": {"kind": "manifest-tag"}, "do": {"html": True}}
    if "wrong-manifest-digest" in case_id:
        yield {"on": {"kind": "manifest-digest"}, "do": {"wrong_body": True}}
