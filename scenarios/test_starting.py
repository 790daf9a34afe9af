"""How a cache starts: upstream's state at that moment, environment variables, and logins from
outside the configuration."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Image, an_image
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import SHOULD, Need, scenario
from harness.targets import DidNotStart
from harness.upstream import Basic, Bearer, MockUpstream
from scenarios.pulling import manifest_path, pull_manifest
from scenarios.steps import MakeUpstream, credentials

CONFIGURATION = "distribution docs: Configuring a registry"
MEASURED = "measured on 2.8.2 to 3.1.1"
LISTENS = 2.0
"""Seconds in which a cache that does not wait for its upstream listens."""


@scenario(
    "failure.starts-whatever-upstream-answers",
    "A cache starts although upstream answers /v2/ with an error, and pulls once it recovers",
    level=SHOULD,
    refs=("d#3705", MEASURED),
    needs={Need.CONFIG, Need.RESTART},
)
@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_starts_whatever_upstream_answers(
    status: int, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A node that restarts during an incident upstream must come back with its content."""
    upstream.add("team/app", an_image(), tags=("v1",))
    upstream.on(kind="base", times=1).status(status)
    cache = target.proxy(upstream)

    base = cache.get("/v2/")
    pull = containerd_pull(cache.client, "team/app", "v1")

    expect.client("status of /v2/", base.status, 200)
    expect.client("the pull afterwards is complete", pull.complete, True)


@scenario(
    "operations.environment",
    "REGISTRY_PROXY_REMOTEURL in the environment turns a registry into a cache",
    level=SHOULD,
    refs=(f"{CONFIGURATION}, Override specific configuration options", MEASURED),
)
def test_environment(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """The usual way to configure the image in Kubernetes and compose files."""
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.standard(environment={"REGISTRY_PROXY_REMOTEURL": upstream.url})

    pull = containerd_pull(cache.client, "team/app", "v1")
    push_answer = cache.post("/v2/team/app/blobs/uploads/", content=b"")

    expect.client("the pull is complete", pull.complete, True)
    expect.client("status of a push", push_answer.status, 405)


@scenario(
    "credentials.helper",
    "proxy.exec runs a credential helper for upstream's host",
    level=SHOULD,
    refs=(f"{CONFIGURATION}, proxy, exec (3.0)", "docker-credential-helpers: get", MEASURED),
)
def test_helper(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations, tmp_path: Path
) -> None:
    """Cloud registries issue passwords that last for hours, which no file can hold."""
    upstream = make_upstream(auth=Basic("puller", "of the hour"))
    upstream.add("team/app", an_image(), tags=("v1",))
    helper = tmp_path / "helper"
    helper.write_text(
        '#!/bin/sh\ncat > "$0.asked"\necho \'{"Username": "puller", "Secret": "of the hour"}\'\n'
    )
    helper.chmod(0o700)
    cache = target.proxy(upstream, extra={"proxy": {"exec": {"command": str(helper)}}})

    pull = containerd_pull(cache.client, "team/app", "v1")

    asked = Path(f"{helper}.asked")
    expect.client("the pull is complete", pull.complete, True)
    expect.upstream("credentials", credentials(upstream) - {"none"}, {"basic:puller"})
    said = asked.read_text().strip() if asked.exists() else ""
    expect.disk("it was asked for upstream's host", upstream.address in said, True)


@scenario(
    "credentials.missing-password-file",
    "With a missing htpasswd file the start is refused, or only a generated user gets in",
    level=SHOULD,
    refs=(f"{CONFIGURATION}, htpasswd", MEASURED),
    needs={Need.CONFIG, Need.LOGS},
)
def test_missing_password_file(
    target: TargetUnderTest, expect: Expectations, tmp_path: Path
) -> None:
    """A wrong path, or a secret that was not mounted, must not open the registry. Releases create
    the user docker and log its password."""
    place = tmp_path / "secrets" / "users"
    htpasswd = {"realm": "pullproof", "path": str(place)}
    try:
        registry = target.standard(extra={"auth": {"htpasswd": htpasswd}})
    except DidNotStart as refusal:
        expect.client("it names the file", str(place) in refusal.message, True)
        return

    stranger = registry.get("/v2/")
    said = re.search(r'password"?[=:] ?"?([^\s",}]+)', registry.logs(redacted=False))
    known = registry.get("/v2/", auth=("docker", said[1])) if said else stranger

    expect.client("status without a password", stranger.status, 401)
    expect.client("status with the password of the log", known.status, 200)


@scenario(
    "failure.starts-while-upstream-hangs",
    "A cache starts while upstream accepts connections and never answers",
    level=SHOULD,
    refs=("d#3705", MEASURED),
    needs={Need.CONFIG, Need.RESTART},
)
def test_starts_while_upstream_hangs(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A firewall that drops packets must not turn a routine restart into an outage."""
    cache = target.proxy(upstream)
    pull_manifest(cache, "team/app", image)
    cache.stop()
    hung = upstream.on(kind="base").hang()

    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(cache.start)
        started = not wait([start], timeout=LISTENS).not_done
        upstream.clear_faults()
        hung.release()
        start.result()
    answer = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)

    expect.client("it listens while upstream hangs", started, True)
    expect.client("status of a cached manifest afterwards", answer.status, 200)


@scenario(
    "credentials.token-server-moves",
    "A token server that upstream names after the start gets the credentials too",
    level=SHOULD,
    refs=("distribution docs: Token authentication", MEASURED),
)
def test_token_server_moves(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Upstreams move their token service; a cache that only trusts the address it saw at startup
    pulls anonymously until a restart."""
    upstream = make_upstream(auth=Bearer("puller", "secret"))
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, upstream_login=("puller", "secret"))
    later = f'Bearer realm="{upstream.url}/later/token",service="mock-upstream"'
    upstream.on("GET", "/v2/").status(401, {"WWW-Authenticate": later})
    upstream.on("HEAD", kind="manifest").status(401, {"WWW-Authenticate": later})
    upstream.on("GET", kind="manifest").status(401, {"WWW-Authenticate": later})

    cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)

    seen = {e.credential for e in upstream.ledger.entries if e.path == "/later/token"}
    expect.upstream("credentials at the new token server", seen, {"basic:puller"})
