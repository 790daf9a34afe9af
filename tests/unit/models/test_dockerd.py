"""dockerd's mirrors: daemon.json, the order of endpoints, and what sends it to the next."""

from __future__ import annotations

import pytest

from harness.content import an_image
from harness.nodes.models.dockerd import (
    DaemonConfig,
    InvalidDaemonJson,
    endpoints,
    read_daemon_json,
    run,
)
from harness.nodes.models.go_url import GoURL
from harness.nodes.models.network import ClientRun
from harness.nodes.models.reference import normalised_reference
from harness.nodes.models.simulated_network import (
    HostAction,
    HostBehaviour,
    HostChallenge,
    HostRule,
    SimulatedNetwork,
)

MIRROR, HUB = "mirror.example", "registry-1.docker.io"
CONFIG = DaemonConfig((GoURL("https", MIRROR),))


def pulled(hosts: dict[str, HostBehaviour]) -> ClientRun:
    return run("nginx", CONFIG, SimulatedNetwork(hosts, an_image(layers=1)))


def asked(pull: ClientRun) -> list[str]:
    return [f"{a.host.split('.')[0]} {a.method} {a.status}" for a in pull.received]


def test_mirrors_in_the_order_of_the_file_and_docker_hub_last() -> None:
    config = read_daemon_json('{"registry-mirrors": ["https://b.example/", "http://a.example"]}')
    found = [(e.scheme, e.host) for e in endpoints(normalised_reference("nginx"), config)]
    assert found == [("https", "b.example"), ("http", "a.example"), ("https", HUB)]


def test_an_insecure_registry_is_tried_over_plain_http_too() -> None:
    config = read_daemon_json('{"insecure-registries": ["reg.example:5000", "10.0.0.0/8"]}')
    plain = normalised_reference("reg.example/app")
    for image in ("reg.example:5000/app", "10.1.2.3/app", "127.0.0.1:5000/app"):
        found = [(e.scheme, e.verify) for e in endpoints(normalised_reference(image), config)]
        assert found == [("https", False), ("http", True)]
    assert [e.scheme for e in endpoints(plain, config)] == ["https"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "invalid JSON"),
        ("[]", "one JSON object"),
        ('{"registry-mirrors": "https://m"}', "must be a list of strings"),
        ('{"registry-mirrors": ["m.example:5000"]}', "invalid mirror"),
        ('{"registry-mirrors": ["ftp://m.example"]}', "unsupported scheme 'ftp'"),
        ('{"registry-mirrors": ["https://m.example/path"]}', "path, query, or fragment"),
        ('{"registry-mirrors": ["https://u:p@m.example"]}', "username/password not allowed"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_stops_the_daemon(text: str, reason: str) -> None:
    with pytest.raises(InvalidDaemonJson, match=reason) as caught:
        read_daemon_json(text)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    "mirror",
    [
        HostBehaviour(down=True),
        HostBehaviour(store=False),
        HostBehaviour(challenge=HostChallenge("basic", "u:p")),
        HostBehaviour(rules=(HostRule(HostAction(status=429)),)),
        HostBehaviour(rules=(HostRule(HostAction(html=True)),)),
        HostBehaviour(rules=(HostRule(HostAction(status=404), obj="layer"),)),
        HostBehaviour(rules=(HostRule(HostAction(wrong_body=True), obj="layer"),)),
    ],
)
def test_after_any_failure_docker_hub_serves_the_whole_image(mirror: HostBehaviour) -> None:
    pull = pulled({MIRROR: mirror})
    assert pull.outcome == "ok"
    hub = [line for line in asked(pull) if line.startswith("registry-1")]
    assert hub[:2] == ["registry-1 GET 200", "registry-1 HEAD 200"]
    assert hub.count("registry-1 GET 200") >= 3


def test_the_last_error_is_reported() -> None:
    pull = pulled({MIRROR: HostBehaviour(down=True), HUB: HostBehaviour(store=False)})
    assert pull.error == f"{HUB}: 404 Not Found"


def test_a_layer_that_keeps_failing_costs_a_minute() -> None:
    failing = HostBehaviour(rules=(HostRule(HostAction(status=500), obj="layer"),))
    pull = pulled({MIRROR: failing})
    assert pull.outcome == "ok"
    assert sum(attempt.seconds for attempt in pull.attempts) == 5 + 10 + 15 + 20
