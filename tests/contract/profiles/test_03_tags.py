"""Section 3: a cache's list of tags."""

from __future__ import annotations

from typing import Any

import pytest

from harness.http.client import Answer
from harness.targets import RunningRegistry
from harness.upstream import MockUpstream
from tests.contract.profiles.bench import IMAGE, REPOSITORY, Bench, detail, failure, pull_manifest
from tests.contract.profiles.table import SAME, row

_TAGS = f"/v2/{REPOSITORY}/tags/list"
_FAILURES = [401, 403, 404, 429, 500, 503, None]
"""What upstream answers; None is a connection that it drops."""


def _listed(answer: Answer) -> list[str] | None:
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.json()
    assert found["name"] == REPOSITORY
    tags: list[str] | None = found["tags"]
    return tags


def _page(answer: Answer) -> tuple[list[str] | None, str | None]:
    """The tags, and the query of the link to the next page."""
    link = answer.headers.get("Link")
    if link is not None:
        target, _, relation = link.partition("; ")
        assert relation == 'rel="next"', link
        link = target.strip("<>").partition("?")[2]
    return _listed(answer), link


def _caching(bench: Bench, *tags: str) -> RunningRegistry:
    """A cache that has the image by its tag, of an upstream that has more *tags*."""
    bench.upstream.add(REPOSITORY, IMAGE, tags)
    cache = bench.proxy()
    pull_manifest(cache, IMAGE, "v1")
    bench.forget()
    return cache


def _in_pages(bench: Bench) -> RunningRegistry:
    """A cache, with nothing in it, of an upstream that tells two of five tags at a time."""
    upstream = bench.lab.upstream(page_size=2)
    upstream.add(REPOSITORY, IMAGE, ("v1", "v2", "v3", "v4", "v5"))
    bench.upstream = upstream
    return bench.proxy()


# -- upstream answers -----------------------------------------------------------------------------
@row(
    "3.1",
    {
        "tags": ["v1", "v2", "v3", "v4", "v5"],
        "asked": ["GET tags", "GET tags?last=v2&n=2", "GET tags?last=v4&n=2"],
        "stored": [],
    },
)
def test_all_pages_of_upstream(bench: Bench) -> object:
    cache = _in_pages(bench)
    tags = _listed(cache.get(_TAGS))
    return {"tags": tags, "asked": bench.asked(), "stored": cache.disk.files()}


@row(
    "3.1",
    ["GET tags", "GET tags?last=v2&n=2", "GET tags?last=v4&n=2"],
    SAME,
    SAME,
    ["GET tags?n=1"],
)
def test_what_one_page_costs(bench: Bench) -> object:
    cache = _in_pages(bench)
    assert cache.get(f"{_TAGS}?n=1").status == 200
    return bench.asked()


@row("3.3", (["other"], {"v1"}))
def test_cached_tag_that_upstream_has_lost(bench: Bench) -> object:
    """What is listed, and what is cached."""
    cache = _caching(bench, "other")
    bench.upstream.untag(REPOSITORY, "v1")
    return _listed(cache.get(_TAGS)), set(cache.disk.tags(REPOSITORY))


@row("3.4", b'{"name":"team/app","tags":null}\n')
def test_upstream_has_no_tags(bench: Bench) -> object:
    cache = _caching(bench)
    bench.upstream.untag(REPOSITORY, "v1")
    return cache.get(_TAGS).body


_ALL = ["a", "b", "c", "v1"]


@row(
    "3.5",
    {
        "n=2": (_ALL, None),
        "n=2&last=a": (_ALL, None),
        "n=2&last=c": (_ALL, None),
        "n=4": (_ALL, None),
        "last=b": (_ALL, None),
        "n=0": (_ALL, None),
    },
    {
        "n=2": (["a", "b"], "last=b&n=2"),
        "n=2&last=a": (["b", "c"], "last=c&n=2"),
        "n=2&last=c": (["v1"], None),
        "n=4": (_ALL, None),
        "last=b": (["c", "v1"], None),
        "n=0": ([], None),
    },
    SAME,
    {
        "n=2": (["a", "b"], "last=b&n=2"),
        "n=2&last=a": (["b", "c"], "last=c&n=2"),
        "n=2&last=c": (["v1"], None),
        "n=4": (_ALL, None),
        "last=b": (_ALL, None),
        "n=0": ([], None),
    },
)
def test_part_of_the_list(bench: Bench) -> object:
    cache = _caching(bench, "a", "b", "c")
    queries = ("n=2", "n=2&last=a", "n=2&last=c", "n=4", "last=b", "n=0")
    return {query: _page(cache.get(f"{_TAGS}?{query}")) for query in queries}


_WHOLE = ["GET tags"]


@row("3.5", 4 * [_WHOLE], SAME, SAME, [["GET tags?n=2"], ["GET tags?last=a&n=2"], _WHOLE, []])
def test_what_upstream_is_asked_for_a_part(bench: Bench) -> object:
    cache, asked = bench.proxy(), []
    for query in ("n=2", "n=2&last=a", "last=a", "n=0"):
        bench.forget()
        cache.get(f"{_TAGS}?{query}")
        asked.append(bench.asked())
    return asked


# -- upstream fails -------------------------------------------------------------------------------
def _fail(upstream: MockUpstream, status: int | None) -> None:
    fault = upstream.on(None, kind="tags")
    if status is None:
        fault.truncate()
    else:
        fault.status(status)


@row("3.2", ["v1"])
@pytest.mark.parametrize("status", _FAILURES)
def test_cached_tags_while_upstream_fails(bench: Bench, status: int | None) -> object:
    cache = _caching(bench, "other")
    _fail(bench.upstream, status)
    return _listed(cache.get(_TAGS))


@row("3.2", ["v1"])
def test_cached_tags_while_upstream_is_down(bench: Bench) -> object:
    cache = _caching(bench, "other")
    bench.upstream.down()
    return _listed(cache.get(_TAGS))


@row("3.2", [((404, "NAME_UNKNOWN"), {"name": REPOSITORY})] * (1 + len(_FAILURES)))
def test_unknown_repository_while_upstream_fails(bench: Bench) -> object:
    cache, seen = bench.proxy(), []
    for status in _FAILURES:
        _fail(bench.upstream, status)
        answer = cache.get(_TAGS)
        seen.append((failure(answer), detail(answer)))
        bench.upstream.clear_faults()
    bench.upstream.down()
    answer = cache.get(_TAGS)
    return [*seen, (failure(answer), detail(answer))]


@row("3.6", (["v1"], None), SAME, SAME, (["v1"], "last=v1&n=1"))
def test_page_of_one_while_upstream_is_down(bench: Bench) -> object:
    cache = _caching(bench)
    bench.upstream.down()
    return _page(cache.get(f"{_TAGS}?n=1"))
