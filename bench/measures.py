"""What is measured: one function for each measure, each with a bound in time.

A function gets the bench and one registry's place in it and returns one figure for each of its
rows. It raises ``CannotMeasure`` or ``OSError`` where there is none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.client import get, pull, pull_together, requests_per_second
from bench.place import Bench, Place
from bench.runners import Running
from bench.trees import TAGGED, images_tree, tags_tree
from bench.upstream import REPOSITORY, TAG, the_image

__all__ = ["MEASURES", "Measure", "Row"]

MB = 1_000_000
MIB = 1 << 20

_TIMEOUT = 60.0
_WARM_CONNECTIONS = 4
_COLD_CLIENTS = 32
_PAGE = 1000


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    title: str
    unit: str
    better: Literal["more", "less"]
    digits: int = 0


@dataclass(frozen=True)
class Measure:
    """A measure; *name* is what ``--only`` takes."""

    name: str
    rows: tuple[Row, ...]
    take: Callable[[Bench, Place], tuple[float, ...]]
    repetitions: int = 3
    warm_ups: int = 0
    """Runs before those, whose figures are dropped: files are then in memory, modules compiled."""


def start_up(bench: Bench, place: Place) -> tuple[float, ...]:
    with place.fresh_proxy() as running:
        return (running.seconds,)


def manifest_by_digest(bench: Bench, place: Place) -> tuple[float, ...]:
    return _manifest_rate(bench, place, the_image().digest)


def manifest_by_tag(bench: Bench, place: Place) -> tuple[float, ...]:
    return _manifest_rate(bench, place, TAG)


def fresh_tag(bench: Bench, place: Place) -> tuple[float, ...]:
    with place.proxy_that_keeps_tags() as running:
        return _rate(bench, running, TAG)


def _manifest_rate(bench: Bench, place: Place, reference: str) -> tuple[float, ...]:
    return _rate(bench, place.proxy(), reference)


def _rate(bench: Bench, running: Running, reference: str) -> tuple[float, ...]:
    url = f"{running.url}/v2/{REPOSITORY}/manifests/{reference}"
    get(url, _deadline())
    return (requests_per_second(url, bench.seconds),)


def hot_blob(bench: Bench, place: Place) -> tuple[float, ...]:
    """Rounds of four clients that pull at once, for as long as a rate is measured."""
    blob = bench.hot_blob
    url = f"{place.proxy().url}/v2/{REPOSITORY}/blobs/{blob.digest}"
    deadline = _deadline()
    pull(url, blob.size, deadline)
    began = time.monotonic()
    pulled = 0
    while (took := time.monotonic() - began) < bench.seconds:
        pull_together(_WARM_CONNECTIONS, url, blob.size, deadline)
        pulled += _WARM_CONNECTIONS * blob.size
    return (pulled / took / MB,)


def cold_blob(bench: Bench, place: Place) -> tuple[float, ...]:
    blob = place.cold_blob()
    url = f"{place.proxy().url}/v2/{REPOSITORY}/blobs/{blob.digest}"
    seconds = pull(url, blob.size, _deadline())
    bench.upstream.bodies(blob)  # what is still fetched behind it is no part of the next figure
    return (blob.size / seconds / MB,)


def cold_clients(bench: Bench, place: Place) -> tuple[float, ...]:
    blob = place.cold_blob()
    url = f"{place.proxy().url}/v2/{REPOSITORY}/blobs/{blob.digest}"
    before = bench.upstream.bodies(blob)
    slowest = max(pull_together(_COLD_CLIENTS, url, blob.size, _deadline()))
    return (bench.upstream.bodies(blob) - before, slowest)


def large_blob(bench: Bench, place: Place) -> tuple[float, ...]:
    blob = bench.large_blob
    with place.fresh_proxy() as running:
        url = f"{running.url}/v2/{REPOSITORY}/blobs/{blob.digest}"
        pull(url, blob.size, _deadline())
        return (running.peak_memory() / MIB,)


def garbage_collection(bench: Bench, place: Place) -> tuple[float, ...]:
    root = bench.tree("gc", lambda root: images_tree(root, bench.gc_manifests))
    return (place.registry.garbage_collect(root, place.directory("gc"), _TIMEOUT),)


def tags_page(bench: Bench, place: Place) -> tuple[float, ...]:
    """The second of the first two pages, from the registry's own storage."""
    root = bench.tree("tags", lambda root: tags_tree(root, bench.tags))
    with place.fresh_server(root) as running:
        url = f"{running.url}/v2/{TAGGED}/tags/list?n={_PAGE}"
        get(url, _deadline())
        began = time.monotonic()
        get(f"{url}&last=v{_PAGE - 1:06}", _deadline())
        return ((time.monotonic() - began) * 1000,)


def peak_memory(bench: Bench, place: Place) -> tuple[float, ...]:
    return (place.proxy().peak_memory() / MIB,)


def _deadline() -> float:
    return time.monotonic() + _TIMEOUT


MEASURES = (
    Measure(
        "start-up",
        (Row("start-up until first answer", "s", "less", 2),),
        start_up,
        repetitions=5,
        warm_ups=1,
    ),
    Measure(
        "by-digest",
        (Row("hot manifest by digest, 16 connections", "requests/s", "more"),),
        manifest_by_digest,
    ),
    Measure(
        "by-tag",
        (Row("hot manifest by tag, 16 connections", "requests/s", "more"),),
        manifest_by_tag,
    ),
    Measure(
        "fresh-tag",
        (Row("the same, asked about every 15 min, 16 connections", "requests/s", "more"),),
        fresh_tag,
    ),
    Measure("hot-blob", (Row("hot blob, 4 connections", "MB/s", "more"),), hot_blob),
    Measure("cold-blob", (Row("cold blob, one client", "MB/s", "more"),), cold_blob),
    Measure(
        "cold-clients",
        (
            Row("32 cold clients, one blob: upstream bodies", "", "less"),
            Row("32 cold clients, one blob: slowest", "s", "less", 2),
        ),
        cold_clients,
    ),
    Measure(
        "large-blob",
        (Row("peak memory, one cold blob of 2 GiB", "MiB", "less"),),
        large_blob,
        repetitions=1,
    ),
    Measure(
        "gc",
        (Row("garbage collection, dry run", "s", "less", 2),),
        garbage_collection,
        warm_ups=1,
    ),
    Measure("tags", (Row("tags/list, page of 1,000", "ms", "less", 1),), tags_page),
    # Last, since it tells of all that went before.
    Measure("memory", (Row("peak memory", "MiB", "less"),), peak_memory, repetitions=1),
)
