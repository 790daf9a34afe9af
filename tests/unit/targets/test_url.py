"""A registry that runs already: what is found out about it, what is asked of it, and what not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.clients.push import put_manifest, upload_blob
from harness.content import Image, an_image
from harness.http.client import Answer, RegistryClient
from harness.suite.scenario import Need
from harness.targets import (
    NotOffered,
    RunningRegistry,
    Settings,
    Target,
    TargetError,
    UrlTarget,
    parse_target,
)
from harness.upstream import Bearer, MockUpstream
from tests.unit.targets.conftest import Launch, Wire
from tests.unit.targets.running import a_port, cache_behind, url_target

V1 = "/v2/team/app/manifests/v1"
IDEAL = "reference@ideal"


@pytest.fixture
def port() -> Iterator[int]:
    with a_port() as port:
        yield port


def attached(target: UrlTarget, upstream: MockUpstream, workdir: Path) -> RunningRegistry:
    """*target* as a cache of *upstream*, as a scenario gets it."""
    cache = target.launch(Settings(upstream_url=upstream.url), workdir)
    cache.attach(upstream)
    return cache


def ask(url: str, path: str) -> Answer:
    """The response to another client."""
    client = RegistryClient(url)
    try:
        return client.get(path, headers=ACCEPT)
    finally:
        client.close()


# -- with a mock upstream behind it ------------------------------------------------------------
def test_each_test_has_its_own_names_and_upstream(
    any_target: Target, launch: Launch, source: MockUpstream, port: int, tmp_path: Path
) -> None:
    running = cache_behind(launch, any_target, port)
    target = url_target(running, upstream_at=("127.0.0.1", port))
    image = source.add("team/app", an_image(), tags=("v1",))

    cache = attached(target, source, tmp_path)
    assert not source.ledger.entries
    assert cache.exchanges == []
    answer = cache.get(V1, headers=ACCEPT)
    tags = cache.get("/v2/team/app/tags/list")
    cache.stop()

    assert answer.body == image.content
    assert tags.json()["name"] == "team/app"
    assert {entry.repository for entry in source.ledger.entries} <= {"team/app", None}
    assert source.ledger.count("GET", kind="manifest") == 1
    assert [exchange.path for exchange in cache.exchanges] == [V1, "/v2/team/app/tags/list"]
    assert "pullproof-" in cache.logs()
    # The next test meets an empty cache, and another image under the same name.
    with MockUpstream() as other:
        newer = other.add("team/app", an_image("newer"), tags=("v1",))
        again = attached(target, other, tmp_path)
        assert again.get(V1, headers=ACCEPT).body == newer.content
        assert again.get(f"/v2/team/app/manifests/{image.digest}").status != 200
        again.stop()
    assert ask(running.url, "/v2/").status == 200  # It runs on.


def test_requests_of_other_users_do_not_reach_the_upstream_of_a_test(
    launch: Launch, source: MockUpstream, port: int, tmp_path: Path
) -> None:
    running = cache_behind(launch, parse_target(IDEAL), port)
    target = url_target(running, upstream_at=("127.0.0.1", port))
    source.add("team/app", an_image(), tags=("v1",))
    cache = attached(target, source, tmp_path)
    assert ask(running.url, V1).status == 404
    assert ask(running.url, "/v2/pullproof-0-0/team/app/manifests/v1").status == 404
    assert source.ledger.count(kind="manifest") == 0
    cache.stop()


def test_upstream_stays_down(
    launch: Launch, source: MockUpstream, port: int, tmp_path: Path
) -> None:
    running = cache_behind(launch, parse_target(IDEAL), port)
    target = url_target(running, upstream_at=("127.0.0.1", port))
    source.down()
    cache = attached(target, source, tmp_path)
    assert (cache.get(V1, headers=ACCEPT).status or 0) >= 500
    cache.stop()


def test_unsupported_needs_are_not_offered(
    launch: Launch, source: MockUpstream, port: int, tmp_path: Path
) -> None:
    running = cache_behind(launch, parse_target(IDEAL), port)
    target = url_target(running, upstream_at=("127.0.0.1", port))
    assert Need.CONFIG in target.capabilities
    assert not {Need.STORAGE, Need.RESTART, Need.CATALOG, Need.LOGS} & target.capabilities
    with pytest.raises(NotOffered, match="cannot be set up with ttl"):
        target.launch(Settings(upstream_url=source.url, ttl="1h"), tmp_path)
    with pytest.raises(NotOffered, match="--allow-writes"):
        target.launch(Settings(), tmp_path)
    cache = target.launch(Settings(upstream_url=f"{source.url}/virtual"), tmp_path)
    with pytest.raises(NotOffered, match="another upstream"):
        cache.get(V1)
    with pytest.raises(NotOffered, match="second one"):
        target.launch(Settings(upstream_url=source.url), tmp_path)
    cache.stop()
    cache = attached(target, source, tmp_path)
    with pytest.raises(NotOffered, match="POST needs --allow-writes"):
        cache.post("/v2/team/app/blobs/uploads/")
    with pytest.raises(NotOffered, match="repositories of other users"):
        cache.get("/v2/_catalog")
    with pytest.raises(NotOffered, match="restart"):
        cache.restart()
    cache.stop()


def test_upstream_with_authentication_is_not_offered(
    launch: Launch, port: int, tmp_path: Path
) -> None:
    running = cache_behind(launch, parse_target(IDEAL), port)
    target = url_target(running, upstream_at=("127.0.0.1", port))
    with MockUpstream(Bearer()) as upstream:
        cache = target.launch(Settings(upstream_url=upstream.url), tmp_path)
        with pytest.raises(NotOffered, match="outlives the scenario"):
            cache.attach(upstream)
        cache.stop()


def test_cache_of_another_upstream(launch: Launch, source: MockUpstream, port: int) -> None:
    running = launch(parse_target(IDEAL), upstream_url=source.url)
    with pytest.raises(TargetError, match=rf"mock upstream at 127\.0\.0\.1:{port}: .*proxy"):
        url_target(running, upstream_at=("127.0.0.1", port))


def test_upstream_address_in_use(launch: Launch, source: MockUpstream) -> None:
    running = launch(parse_target(IDEAL), upstream_url=source.url)
    taken = int(source.address.rpartition(":")[2])
    with pytest.raises(TargetError, match=r"^--upstream-at: cannot listen .*in use"):
        url_target(running, upstream_at=("127.0.0.1", taken))


# -- as it is ----------------------------------------------------------------------------------
def push(registry: RunningRegistry, image: Image) -> None:
    for blob in image.blobs:
        upload_blob(registry.client, "team/app", blob)
    put_manifest(registry.client, "team/app", "v1", image)


def test_push_with_allow_writes(any_target: Target, launch: Launch, tmp_path: Path) -> None:
    running = launch(any_target, delete_enabled=True)
    target = url_target(running, allow_writes=True)
    registry = target.launch(Settings(delete_enabled=True), tmp_path)
    image = an_image()
    push(registry, image)
    manifest = registry.get(V1, headers=ACCEPT)
    assert manifest.body == image.content
    assert registry.delete(f"/v2/team/app/manifests/{image.digest}").status == 202
    names = ask(running.url, "/v2/_catalog").json()["repositories"]
    assert names
    assert all(name.startswith("pullproof-") for name in names)
    registry.stop()
    undeleting = target.launch(Settings(), tmp_path)
    with pytest.raises(NotOffered, match="deletion enabled"):
        undeleting.delete(f"/v2/team/app/manifests/{image.digest}")
    undeleting.stop()


def test_push_to_a_cache(launch: Launch, source: MockUpstream, tmp_path: Path) -> None:
    running = launch(parse_target("reference@2.8"), upstream_url=source.url)
    with pytest.raises(NotOffered, match=r"takes no pushes: POST of an upload returned 405"):
        url_target(running, allow_writes=True).launch(Settings(), tmp_path)
    with pytest.raises(NotOffered, match=r"its operator's.*--upstream-at"):
        url_target(running).launch(Settings(upstream_url=source.url), tmp_path)


# -- no listener ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:5000", r"has no scheme; did you mean url:http://127.0.0.1:5000\?"),
        ("ftp://127.0.0.1", "not the URL of a registry"),
        ("http://user:hunter2@127.0.0.1", "no login in a URL; use --login"),
        ("http://127.0.0.1/Hub", "'Hub' cannot come before a repository name"),
        ("http://127.0.0.1:99999", "Port out of range"),
        ("http://127.0.0.1?x", "not the URL of a registry"),
    ],
)
def test_wrong_url(url: str, message: str) -> None:
    with pytest.raises(TargetError, match=message) as problem:
        parse_target(f"url:{url}")
    assert "hunter2" not in str(problem.value)


def test_nothing_listens(port: int) -> None:
    with pytest.raises(TargetError, match=r"^url:http://127\.0\.0\.1:\d+: cannot be reached"):
        parse_target(f"url:http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            r"not a registry: GET /v2/ returned 404$",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello",
            "not a registry",
        ),
        (
            b"HTTP/1.1 301 Gone\r\nLocation: https://else.example/v2/\r\nContent-Length: 0\r\n\r\n",
            "redirects to 'https://else.example/v2/'.*give that URL",
        ),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak plain HTTP"),
        (
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.",
            r"does not speak plain HTTP; did you mean url:https://[\d.:]+\?$",
        ),
    ],
)
def test_not_a_registry(wire: Wire, answer: bytes, message: str) -> None:
    wire.answer(answer)
    with pytest.raises(TargetError, match=message) as problem:
        parse_target(f"url:{wire.url}")
    assert "\n" not in str(problem.value)
