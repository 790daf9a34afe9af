"""A manifest that the server remembers is served for as long as the cache would serve it."""

from __future__ import annotations

import gc
from datetime import timedelta
from typing import Any

import pytest

from harness.content import Image
from harness.http.client import Answer
from harness.plugin.fixtures.content import OciContent
from harness.plugin.fixtures.doubles import MakeProxyRegistry, ProxyDouble
from harness.upstream import MockUpstream
from reference_registry.server.http1.connection import Http1Connection, KeptAnswers


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that were answered from what is remembered."""
    found: list[bytes] = []
    answer = KeptAnswers.answer

    def noted(self: KeptAnswers, request: bytes, client: tuple[str, int] | None) -> bytes | None:
        given = answer(self, request, client)
        if given is not None:
            found.append(request)
        return given

    monkeypatch.setattr(KeptAnswers, "answer", noted)
    return found


@pytest.fixture
def proxy(mock_upstream: MockUpstream, proxy_registry: ProxyDouble) -> ProxyDouble:
    return proxy_registry(ttl="1h", tag_freshness="10m")


@pytest.fixture
def image(mock_upstream: MockUpstream, oci_content: OciContent) -> Image:
    return mock_upstream.add("app", oci_content.image(), ["v1"])


def _path(reference: str) -> str:
    return f"/v2/app/manifests/{reference}"


def _settle(proxy: ProxyDouble, path: str, repeated: list[bytes]) -> None:
    """Ask until the answer is remembered, for which its files must not be young any more."""

    def is_repeated() -> bool:
        count = len(repeated)
        assert proxy.get(path).status == 200
        return len(repeated) > count

    assert proxy.eventually(is_repeated)


def _not_repeated(proxy: ProxyDouble, path: str, repeated: list[bytes], **options: Any) -> Answer:
    count = len(repeated)
    answer = proxy.get(path, **options)
    assert len(repeated) == count
    return answer


def test_what_is_answered_again_is_whole_and_counted(
    proxy: ProxyDouble, image: Image, repeated: list[bytes]
) -> None:
    _settle(proxy, _path(image.digest), repeated)
    counted, noted = _counts(proxy)
    answer = proxy.get(_path(image.digest))
    assert (answer.status, answer.body) == (200, image.content)
    assert answer.headers["docker-content-digest"] == image.digest
    assert _counts(proxy) == (counted + 1, noted + 1)


def _counts(proxy: ProxyDouble) -> tuple[float, int]:
    """Answers by the metrics, and by the ledger."""
    labels = {"handler": "manifest", "method": "get", "code": "200"}
    metrics = proxy.running.metrics()
    return metrics.total("registry_http_requests_total", **labels), len(proxy.ledger.entries)


def test_bytes_that_vanish_are_fetched_again(
    mock_upstream: MockUpstream, proxy: ProxyDouble, image: Image, repeated: list[bytes]
) -> None:
    _settle(proxy, _path(image.digest), repeated)
    proxy.disk.blob_path(image.digest).unlink()
    mock_upstream.ledger.clear()
    answer = _not_repeated(proxy, _path(image.digest), repeated)
    assert answer.body == image.content
    assert mock_upstream.ledger.count("GET", digest=image.digest) == 1


def test_bytes_that_rot_are_fetched_again(
    proxy: ProxyDouble, image: Image, repeated: list[bytes]
) -> None:
    _settle(proxy, _path(image.digest), repeated)
    proxy.disk.blob_path(image.digest).write_bytes(b"x" * len(image.content))
    assert _not_repeated(proxy, _path(image.digest), repeated).body == image.content


def test_what_has_expired_is_fetched_again(
    mock_upstream: MockUpstream, proxy: ProxyDouble, image: Image, repeated: list[bytes]
) -> None:
    _settle(proxy, _path(image.digest), repeated)
    proxy.running.pass_time(timedelta(hours=1))
    proxy.eventually(lambda: not proxy.disk.has_blob(image.digest))
    mock_upstream.ledger.clear()
    assert _not_repeated(proxy, _path(image.digest), repeated).body == image.content
    assert mock_upstream.ledger.count("GET", digest=image.digest) == 1


def test_a_tag_is_answered_again_while_it_is_fresh_and_no_longer(
    mock_upstream: MockUpstream,
    proxy: ProxyDouble,
    image: Image,
    repeated: list[bytes],
    oci_content: OciContent,
) -> None:
    _settle(proxy, _path("v1"), repeated)
    moved = mock_upstream.add("app", oci_content.image(), ["v1"])
    assert proxy.get(_path("v1")).body == image.content
    insisting = {"Cache-Control": "no-cache"}
    answer = _not_repeated(proxy, _path("v1"), repeated, headers=insisting)
    assert answer.body == moved.content
    assert _not_repeated(proxy, _path("v1"), repeated).body == moved.content
    assert _not_repeated(proxy, _path("v1"), repeated, headers=insisting).body == moved.content


def test_a_tag_that_is_to_be_asked_about_is(
    mock_upstream: MockUpstream,
    make_proxy_registry: MakeProxyRegistry,
    image: Image,
    repeated: list[bytes],
) -> None:
    proxy = make_proxy_registry()
    _settle(proxy, _path(image.digest), repeated)
    for _ in range(3):
        assert _not_repeated(proxy, _path("v1"), repeated).body == image.content
    assert mock_upstream.ledger.count("HEAD", tag="v1") == 3


def test_passwords_are_asked_for_each_time(
    make_proxy_registry: MakeProxyRegistry, image: Image, repeated: list[bytes]
) -> None:
    proxy = make_proxy_registry(htpasswd={"ann": "secret"})
    for _ in range(5):
        assert _not_repeated(proxy, _path(image.digest), repeated).status == 401
        answer = _not_repeated(proxy, _path(image.digest), repeated, auth=("ann", "secret"))
        assert answer.status == 200


def test_a_connection_that_is_closed_is_not_kept_for_what_was_asked_on_it(
    proxy: ProxyDouble, image: Image, repeated: list[bytes]
) -> None:
    _settle(proxy, _path(image.digest), repeated)
    proxy.running.client.close()

    def are_left() -> bool:
        gc.collect()
        return not any(isinstance(each, Http1Connection) and each.gone for each in gc.get_objects())

    assert proxy.eventually(are_left)
