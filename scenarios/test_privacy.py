"""Private images behind a password: what is revealed to whom, and on which listener."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Image, an_image
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, MUST, Need, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import Basic, MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_image
from scenarios.steps import OBSERVED, MakeUpstream, settle

HTPASSWD = "distribution docs: Configuring a registry, htpasswd"
MIRROR = "distribution docs: Registry as a pull through cache"
MEASURED = "measured on 2.8.2 to 3.1.1"
REPOSITORY = "private/app"
ALICE = ("alice", "wonderland")
ROBOT = ("robot", "upstream-secret")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ABSENT = f"sha256:{'0' * 64}"


def _guarded(
    upstream: MockUpstream, target: TargetUnderTest, **settings: Any
) -> tuple[Image, RunningRegistry]:
    """A cache with a password, and an image that an authenticated client has pulled."""
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    cache = target.proxy(upstream, **settings)
    login = settings.get("htpasswd")
    pull_image(cache, REPOSITORY, image, "v1")
    if login:
        for path in (manifest_path(REPOSITORY, "v1"), blob_path(REPOSITORY, image.layers[0])):
            cache.get(path, headers=ACCEPT, auth=ALICE)
    settle(cache, upstream)
    return image, cache


scenario = theme("privacy")


@scenario(
    "every-route-asks",
    "With a password set, no route and no method answers an unauthenticated client",
    level=MUST,
    refs=(HTPASSWD, "RFC 9110, 15.5.2", "d#1899"),
    needs=OBSERVED,
)
@pytest.mark.parametrize("method", METHODS)
def test_every_route_asks(
    method: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """One route without authentication, such as a new API or a rare method, opens all private
    images."""
    image, cache = _guarded(upstream, target, htpasswd=dict([ALICE]))
    before = _tree(cache)
    upstream.ledger.clear()
    layer = image.layers[0]
    paths = {
        "/v2/": "/v2/",
        "the catalog": "/v2/_catalog",
        "tags": f"/v2/{REPOSITORY}/tags/list",
        "a manifest by tag": manifest_path(REPOSITORY, "v1"),
        "a manifest by digest": manifest_path(REPOSITORY, image.digest),
        "a blob": blob_path(REPOSITORY, layer),
        "uploads": f"/v2/{REPOSITORY}/blobs/uploads/",
        "a mount": f"/v2/{REPOSITORY}/blobs/uploads/?mount={layer.digest}&from=private/other",
        "an upload": f"/v2/{REPOSITORY}/blobs/uploads/00000000-0000-4000-8000-000000000000",
    }

    answers = {name: cache.request(method, path, headers=ACCEPT) for name, path in paths.items()}

    for name, answer in answers.items():
        expect.client(f"status of {name}", answer.status, 401)
        expect.client(f"digest revealed of {name}", answer.digest, None)
    settle(cache, upstream)
    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("changed", sorted(before ^ _tree(cache)), [])


@scenario(
    "referrers-ask",
    "With a password set, referrers are not shown to an unauthenticated client",
    level=MUST,
    refs=(HTPASSWD, "OCI distribution-spec: Listing Referrers", "d#3859"),
)
def test_referrers_ask(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Signatures and reports show what runs here and what is wrong with it."""
    image, cache = _guarded(upstream, target, htpasswd=dict([ALICE]))
    upstream.ledger.clear()

    answer = cache.get(f"/v2/{REPOSITORY}/referrers/{image.digest}")

    expect.client("status", answer.status, 401)
    expect.upstream("requests", upstream.ledger.lines(), [])


@scenario(
    "existence-is-not-told",
    "To an unauthenticated client cached, upstream-only and missing content look the same",
    refs=(HTPASSWD, "CWE-204: Observable Response Discrepancy"),
)
def test_existence_is_not_told(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The name of a repository can be a secret: an unreleased product."""
    image, cache = _guarded(upstream, target, htpasswd=dict([ALICE]))
    upstream.add("private/new", an_image("new"), tags=("v1",))
    pairs = {
        "manifests": [manifest_path(name, "v1") for name in (REPOSITORY, "private/new", "no/such")],
        "digests": [manifest_path(REPOSITORY, d) for d in (image.digest, ABSENT)],
        "blobs": [f"/v2/{REPOSITORY}/blobs/{d}" for d in (image.layers[0].digest, ABSENT)],
        "tags": [f"/v2/{name}/tags/list" for name in (REPOSITORY, "private/new", "no/such")],
    }

    seen = {kind: {_without_name(cache, path) for path in paths} for kind, paths in pairs.items()}

    for kind, answers in seen.items():
        expect.client(f"different answers for {kind}", len(answers), 1)
        expect.client(f"statuses for {kind}", sorted(status for status, *_ in answers), [401])


@scenario(
    "debug-listener",
    "The debug listener reveals no password and no repository name",
    refs=("distribution docs: Configuring a registry, debug", "CWE-200", MEASURED),
    needs=OBSERVED | {Need.DEBUG},
)
def test_debug_listener(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Metrics are scraped from anywhere in monitoring, often over an open port."""
    upstream = make_upstream(auth=Basic(*ROBOT))
    image, cache = _guarded(upstream, target, htpasswd=dict([ALICE]), upstream_login=ROBOT)

    pages = {path: cache.debug(path) for path in ("/debug/vars", "/metrics", "/debug/health")}
    api = cache.debug(manifest_path(REPOSITORY, "v1"))

    text = b"\n".join(page.body for page in pages.values()).decode()
    secrets = {
        "upstream's password": ROBOT[1],
        "a client's password": ALICE[1],
        "the secret of uploads": cache.settings.secret or "",
        "the repository": REPOSITORY,
        "the digest": image.digest,
    }
    expect.client("statuses", sorted(page.status or 0 for page in pages.values()), [200, 200, 200])
    expect.client("revealed", [name for name, secret in secrets.items() if secret in text], [])
    expect.client("status of the API there", api.status, 404)


@scenario(
    "open-cache-warns",
    "A cache with an upstream account and without a client password logs a warning at start",
    refs=(MIRROR, "d#1899", "harbor#18133", MEASURED),
    needs=OBSERVED | {Need.LOGS, Need.PROCESS},
)
def test_open_cache_warns(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The documentation's warning only reaches those who read it."""
    caches: dict[str, dict[str, Any]] = {
        "with an account": {"upstream_login": ROBOT},
        "with an account and a password": {"upstream_login": ROBOT, "htpasswd": dict([ALICE])},
        "without an account": {},
    }
    warned = {}
    for name, settings in caches.items():
        cache = target.proxy(upstream, **settings)
        cache.get("/v2/")
        cache.stop()
        warned[name] = _warns_of_everyone(cache.logs())

    expect.disk("warned with an account", warned["with an account"], True)
    expect.disk(
        "warned with an account and a password", warned["with an account and a password"], False
    )
    expect.disk("warned without an account", warned["without an account"], False)


@scenario(
    "root-tells-nothing",
    "Outside the API an unauthenticated client only sees that something listens",
    level=INFO,
    refs=(HTPASSWD, MEASURED),
)
def test_root_tells_nothing(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Load balancers use / to check whether a server is alive."""
    _, cache = _guarded(upstream, target, htpasswd=dict([ALICE]))

    root = cache.get("/")
    other = cache.get("/debug/vars")

    expect.client("status of /", root.status, 200)
    expect.client("body of /", root.body, b"")
    expect.client("status of /debug/vars", other.status, 404)


def _tree(cache: RunningRegistry) -> set[str]:
    """The files of repositories and blobs; the schedule is saved whenever it suits."""
    return {path for path in cache.disk.files() if path.startswith("docker/")}


def _without_name(cache: RunningRegistry, path: str) -> tuple[int | None, str, str]:
    """Status, header names and body of the answer to a stranger, the name asked for left out."""
    answer = cache.get(path, headers=ACCEPT)
    body = answer.body.decode()
    for name in (REPOSITORY, "private/new", "no/such"):
        body = body.replace(name, "NAME")
    names = sorted(name.lower() for name in answer.headers)
    return answer.status, " ".join(names), body


def _warns_of_everyone(log: str) -> bool:
    """Whether a line at the level of warnings speaks of who can pull."""
    lines = [line for line in log.splitlines() if re.search(r'level["=:]+ ?"?(warn|error)', line)]
    return any(re.search(r"everyone|anyone|anonymous|without auth", line) for line in lines)
