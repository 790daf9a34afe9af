"""Section 6: blobs through a cache."""

from __future__ import annotations

import gzip

import pytest

from harness.content import Blob
from harness.http.client import Answer, Call
from harness.targets import RunningRegistry
from tests.contract.profiles.bench import (
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    chosen,
    detail,
    failure,
    pull_blob,
    starts,
    tree,
)
from tests.contract.profiles.table import SAME, like, row

_LAYER = IMAGE.layers[0]
_PART = 1000
"""Bytes of the layer that arrive where upstream breaks off."""
_BIG = Blob.of_size(4 * 1024 * 1024)
"""More than sockets and buffers hold."""
_OTHER = "other/app"
_STORED = ["<repo>/_layers/sha256/<layer>/link", "blobs/sha256/<layer>/data"]
_LEFT = ["data", "startedat"]
"""What an abandoned upload consists of."""


def _uploads(cache: RunningRegistry) -> list[str]:
    """The files of upload directories."""
    return sorted(path.name for path in cache.root.rglob("_uploads/*/*"))


# -- a miss ---------------------------------------------------------------------------------------
@row("6.1", (200, ["GET blob", "GET blob", "HEAD blob"]), (200, ["GET blob", "HEAD blob"]))
def test_requests_of_a_miss(bench: Bench) -> object:
    cache = bench.proxy()
    answer = pull_blob(cache, _LAYER)
    bench.settle(cache)
    return answer.status, sorted(bench.asked())


@row(
    "6.2",
    (200, ["GET blob", "GET blob", "HEAD blob"], _STORED),
    (200, ["GET blob", "HEAD blob"], _STORED),
)
def test_head_fetches_everything(bench: Bench) -> object:
    cache = bench.proxy()
    answer = cache.head(blob_path(_LAYER))
    bench.settle(cache)
    return answer.status, sorted(bench.asked()), tree(cache, layer=_LAYER)


@row("6.2", (None, 200))
def test_head_waits_for_the_body(bench: Bench) -> object:
    cache = bench.proxy()
    hung = bench.upstream.on("GET", _LAYER).hang(after=_PART)
    waiting = cache.head(blob_path(_LAYER), timeout=0.2)
    bench.upstream.clear_faults()
    hung.release()
    return waiting.status, cache.head(blob_path(_LAYER)).status


_NAMES = (
    "Content-Length",
    "Transfer-Encoding",
    "Content-Type",
    "Docker-Content-Digest",
    "Etag",
    "Accept-Ranges",
    "Cache-Control",
)
_OF_A_MISS = {
    "Content-Length": str(_LAYER.size),
    "Transfer-Encoding": None,
    "Content-Type": "application/x-layer",
    "Docker-Content-Digest": _LAYER.digest,
    "Etag": str(_LAYER.digest),
    "Accept-Ranges": None,
    "Cache-Control": None,
}
_GUESSED = dict.fromkeys(_NAMES) | {"Content-Type": "application/x-gzip"}


@row("6.3", _OF_A_MISS, _GUESSED | {"Transfer-Encoding": "chunked"}, _OF_A_MISS)
def test_headers_of_a_miss(bench: Bench) -> object:
    bench.upstream.on(None, _LAYER).headers({"Content-Type": "application/x-layer"})
    return chosen(bench.proxy().get(blob_path(_LAYER)), *_NAMES)


@row("6.3", _OF_A_MISS, _GUESSED, _OF_A_MISS)
def test_headers_of_a_head_miss(bench: Bench) -> object:
    bench.upstream.on(None, _LAYER).headers({"Content-Type": "application/x-layer"})
    return chosen(bench.proxy().head(blob_path(_LAYER)), *_NAMES)


_TINY = Blob(b"tiny" * 100)
_OF_TINY = [str(_TINY.digest), "400", "application/octet-stream"]


@row("6.3", _OF_TINY, [None, "400", "text/plain; charset=utf-8"], _OF_TINY)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_headers_of_a_tiny_miss(bench: Bench, method: str) -> object:
    bench.upstream.add(REPOSITORY, _TINY)
    answer = bench.proxy().request(method, blob_path(_TINY))
    return [answer.digest, *chosen(answer, "Content-Length", "Content-Type").values()]


_OF_A_HIT = _OF_A_MISS | {
    "Content-Type": "application/octet-stream",
    "Etag": f'"{_LAYER.digest}"',
    "Accept-Ranges": "bytes",
    "Cache-Control": "max-age=31536000",
}


@row("6.4", (_OF_A_HIT, _OF_A_HIT, (206, _LAYER.content[5:10]), 304))
def test_hit(bench: Bench) -> object:
    cache = bench.proxy()
    pull_blob(cache, _LAYER)
    path = blob_path(_LAYER)
    part = cache.get(path, headers={"Range": "bytes=5-9"})
    same = cache.get(path, headers={"If-None-Match": f'"{_LAYER.digest}"'})
    return (
        chosen(cache.get(path), *_NAMES),
        chosen(cache.head(path), *_NAMES),
        (part.status, part.body),
        same.status,
    )


@row("6.5", (200, True, None, _STORED, 206))
def test_range_of_a_miss(bench: Bench) -> object:
    cache, headers = bench.proxy(), {"Range": "bytes=5-9"}
    miss = cache.get(blob_path(_LAYER), headers=headers)
    bench.settle(cache)
    forwarded = bench.upstream.ledger.select("GET", kind="blob")[0].header("range")
    hit = cache.get(blob_path(_LAYER), headers=headers)
    whole = miss.body == _LAYER.content
    return miss.status, whole, forwarded, tree(cache, layer=_LAYER), hit.status


@row("6.6", (200, True))
def test_condition_of_a_miss(bench: Bench) -> object:
    headers = {"If-None-Match": f'"{_LAYER.digest}"'}
    answer = bench.proxy().get(blob_path(_LAYER), headers=headers)
    return answer.status, answer.body == _LAYER.content


# -- several at once ------------------------------------------------------------------------------
@row("6.7", {"HEAD": 4, "GET": 5, "right": 4}, {"HEAD": 4, "GET": 4, "right": 4})
def test_first_pulls_at_once(bench: Bench) -> object:
    cache = bench.proxy()
    bench.upstream.on(None, _LAYER).delay(0.3)
    answers = cache.client.parallel([Call("GET", blob_path(_LAYER))] * 4)
    bench.settle(cache)
    return {
        "HEAD": bench.upstream.ledger.count("HEAD", kind="blob"),
        "GET": bench.upstream.ledger.count("GET", kind="blob"),
        "right": sum(answer.body == _LAYER.content for answer in answers),
    }


@row("6.8", {"other's answer": (200, True), "other's links": set(), "asker's links": 1})
def test_another_repository_asks_meanwhile(bench: Bench) -> object:
    bench.upstream.add(REPOSITORY, _BIG)
    bench.upstream.add(_OTHER, _BIG)
    cache = bench.proxy()
    hung = bench.upstream.on("GET", _BIG, repository=REPOSITORY).hang(after=64 * 1024)
    with cache.client.open(blob_path(_BIG)) as asker:
        asker.read(1)
        other = cache.get(blob_path(_BIG, _OTHER))
        hung.release()
        asker.read()
    bench.settle(cache)
    return {
        "other's answer": (other.status, other.body == _BIG.content),
        "other's links": cache.disk.layer_links(_OTHER),
        "asker's links": len(cache.disk.layer_links(REPOSITORY)),
    }


@row("6.9", ["GET blob", "GET blob", "HEAD blob"], ["GET blob", "HEAD blob"])
def test_stored_for_another_repository(bench: Bench) -> object:
    bench.upstream.add(_OTHER, _LAYER)
    cache = bench.proxy()
    pull_blob(cache, _LAYER, _OTHER)
    bench.settle(cache)
    bench.forget()
    before = cache.disk.files()
    pull_blob(cache, _LAYER)
    bench.settle(cache)
    new = set(cache.disk.files()) - set(before)
    assert [path.rpartition("/")[2] for path in new] == ["link"]
    return sorted(bench.asked())


# -- what goes wrong ------------------------------------------------------------------------------
@row("6.10", (True, []), (False, _LEFT), SAME, (False, []))
def test_client_leaves(bench: Bench) -> object:
    bench.upstream.add(REPOSITORY, _BIG)
    cache = bench.proxy()
    hung = bench.upstream.on("GET", _BIG).hang(after=64 * 1024)
    with cache.client.open(blob_path(_BIG)) as answer:
        answer.read(1024)
    hung.release()
    bench.settle(cache)
    return cache.disk.has_blob(_BIG.digest), _uploads(cache)


def _shown(answer: Answer) -> tuple[object, ...]:
    """Status, whether the whole announced body came, and what follows upstream's part of it."""
    rest = answer.body.removeprefix(_LAYER.content[:_PART])
    appended = Answer(None, body=rest).error_code or rest
    return answer.status, answer.error is None, appended


@row(
    "6.11",
    ((200, False, "UNKNOWN"), _LEFT),
    ((200, True, "UNKNOWN"), _LEFT),
    ((200, False, "UNKNOWN"), _LEFT),
    ((200, False, "UNKNOWN"), []),
)
def test_upstream_breaks_off(bench: Bench) -> object:
    cache = bench.proxy()
    bench.upstream.on("GET", _LAYER).truncate(after=_PART)
    answer = cache.get(blob_path(_LAYER))
    bench.settle(cache)
    return _shown(answer), _uploads(cache)


@row("6.11, 6.13", 1, 0, slow=True)
@pytest.mark.parametrize("status", [None, 503], ids=["breaks off", "503"])
def test_entry_of_a_blob_that_did_not_come(bench: Bench, status: int | None) -> object:
    cache = bench.proxy()
    fault = bench.upstream.on("GET", _LAYER)
    fault.truncate(after=_PART) if status is None else fault.status(status)
    cache.get(blob_path(_LAYER))
    pull_blob(cache, IMAGE.config)
    entries = cache.await_state(lambda state: f"{REPOSITORY}@{IMAGE.config.digest}" in state)
    return len(entries) - 1


@row(
    "6.12",
    (200, _LAYER.digest, True, [], _LEFT),
    (200, None, like(r'\{"errors":.*"UNKNOWN".*'), [], _LEFT),
    (200, _LAYER.digest, True, [], _LEFT),
)
def test_wrong_bytes(bench: Bench) -> object:
    cache = bench.proxy()
    bench.upstream.on("GET", _LAYER).corrupt()
    answer = cache.get(blob_path(_LAYER))
    bench.settle(cache)
    assert answer.body[: _LAYER.size] != _LAYER.content
    appended = answer.body[_LAYER.size :].decode() or len(answer.body) == _LAYER.size
    stored = [path for path in tree(cache, layer=_LAYER) if "_uploads" not in path]
    return answer.status, answer.digest, appended, stored, _uploads(cache)


_MALFORMED = (500, False, str(_LAYER.size))
_CLEAN = (500, True, like(r"\d\d\d?"))


@row("6.13", (_MALFORMED, _LEFT), (_CLEAN, _LEFT), (_MALFORMED, _LEFT), (_MALFORMED, []))
def test_head_works_and_get_does_not(bench: Bench) -> object:
    cache = bench.proxy()
    bench.upstream.on("GET", _LAYER).status(503)
    answer = cache.get(blob_path(_LAYER))
    bench.settle(cache)
    length = answer.headers.get("Content-Length")
    return (answer.status, answer.error is None, length), _uploads(cache)


@row("6.14", (500, "UNKNOWN", {}), (500, "UNKNOWN", like("missing content-length header .*")))
def test_head_without_a_length(bench: Bench) -> object:
    bench.upstream.on("HEAD", _LAYER).headers({"Content-Length": None})
    answer = bench.proxy().get(blob_path(_LAYER))
    return *failure(answer), detail(answer)


@row("6.15", (200, True))
def test_redirect_to_another_host(bench: Bench) -> object:
    elsewhere = bench.lab.upstream()
    elsewhere.add(REPOSITORY, _LAYER)
    bench.upstream.on("GET", _LAYER).redirect(elsewhere.url)
    answer = bench.proxy().get(blob_path(_LAYER))
    return answer.status, answer.body == _LAYER.content


# -- how it is fetched and kept -------------------------------------------------------------------
@row("6.16", ("gzip", True), ("zstd, gzip, deflate", True))
def test_compression_on_the_way(bench: Bench) -> object:
    squeezed = gzip.compress(_LAYER.content)
    bench.upstream.on("GET", _LAYER).status(200, {"Content-Encoding": "gzip"}, squeezed)
    answer = bench.proxy().get(blob_path(_LAYER))
    asked = bench.upstream.ledger.select("GET", kind="blob")[0].header("accept-encoding")
    return asked, answer.body == _LAYER.content


@row("6.17", [(False, False), (True, True)])
def test_directory_for_uploads(bench: Bench) -> object:
    """Whether it exists, and whether it is empty."""
    cache = bench.proxy()
    directory = cache.root / f"docker/registry/v2/repositories/{REPOSITORY}/_uploads"
    cache.get(f"/v2/{REPOSITORY}/manifests/v1")
    looks = [(directory.is_dir(), False)]
    pull_blob(cache, _LAYER)
    bench.settle(cache)
    return [*looks, (directory.is_dir(), not any(directory.iterdir()))]


@row("6.18", ["starts", "starts"], SAME, SAME, ["starts", 1])
def test_limit_of_writing(bench: Bench) -> object:
    return [
        starts(bench, upstream=True, extra={"proxy": {"cachewritetimeout": value}})
        for value in ("1m", "soon")
    ]
