"""What is measured: one function for each measure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

from bench.client import CannotMeasure, get, pull, pull_together, requests_per_second
from bench.registries import MeasuredRegistry, Running
from bench.upstream import REPOSITORY, TAG, BenchUpstream, blob_number, the_image
from harness.content import Blob, Image, an_image
from reference_registry.storage import layout


@dataclass
class Bench:
    """What all registries of one run share."""

    upstream: BenchUpstream
    directory: Path
    seconds: int
    """How long a rate is measured."""
    blob_size: int
    large_size: int
    """The size of the one blob for which memory should not grow."""
    gc_manifests: int
    tags: int

    def tree(self, name: str, write: Callable[[Path, int], None], size: int) -> Path:
        """The storage root *name*, which *write* fills the first time."""
        root = self.directory / "trees" / name
        if not root.exists():
            write(root, size)
        return root


@dataclass
class Workspace:
    """One registry in a run: its processes, its directories, and the blobs it has not pulled."""

    bench: Bench
    registry: MeasuredRegistry
    _proxy: Running | CannotMeasure | None = None
    _number: count[int] = field(default_factory=lambda: count(1))
    _cold: count[int] = field(default_factory=lambda: count(1))

    def proxy(self) -> Running:
        """The proxy of the whole run, started by the first call. It is not started again after a
        failure."""
        if self._proxy is None:
            try:
                self._proxy = self.fresh_proxy()
            except CannotMeasure as problem:
                self._proxy = problem
        if isinstance(self._proxy, CannotMeasure):
            raise self._proxy
        if (code := self._proxy.process.exit_code) is not None:
            raise CannotMeasure(f"ended with exit code {code}")
        return self._proxy

    def fresh_proxy(self, *, keeps_tags: bool = False) -> Running:
        """Start another proxy, with an empty cache."""
        workdir = self.directory(f"proxy-{next(self._number)}")
        return self.registry.proxy(self.bench.upstream.url, workdir, keeps_tags=keeps_tags)

    def cold_blob(self) -> tuple[Blob, str]:
        """A blob that this registry does not have yet, and its URL. The n-th is the same for all
        registries."""
        blob = blob_number(next(self._cold), self.bench.blob_size)
        return blob, _blob_url(self.proxy(), blob)

    def directory(self, name: str) -> Path:
        return self.bench.directory / self.registry.name / name

    def stop(self) -> None:
        """Stop the proxy of :meth:`proxy`."""
        if isinstance(self._proxy, Running):
            self._proxy.process.stop()


Take = Callable[[Workspace], tuple[float, ...]]


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    title: str
    unit: str
    better: Literal["more", "less"]
    digits: int = 0


@dataclass(frozen=True)
class Measure:
    """A measure; *name* is for ``--only``. ``take`` returns a figure for each row, or raises
    ``CannotMeasure`` or ``OSError``. The figures of the warm-ups are dropped."""

    name: str
    take: Take
    rows: tuple[Row, ...]
    repetitions: int = 3
    warm_ups: int = 0


MEASURES: list[Measure] = []


def _measure(
    name: str, *rows: Row, repetitions: int = 3, warm_ups: int = 0
) -> Callable[[Take], Take]:
    def add(take: Take) -> Take:
        MEASURES.append(Measure(name, take, rows, repetitions, warm_ups))
        return take

    return add


@_measure("start-up", Row("start-up until first answer", "s", "less", 2), repetitions=5, warm_ups=1)
def _start_up(place: Workspace) -> tuple[float, ...]:
    with place.fresh_proxy() as running:
        return (running.seconds,)


@_measure("by-digest", Row("hot manifest by digest, 16 connections", "requests/s", "more"))
def _by_digest(place: Workspace) -> tuple[float, ...]:
    return _rate(place, place.proxy(), the_image().digest)


@_measure("by-tag", Row("hot manifest by tag, 16 connections", "requests/s", "more"))
def _by_tag(place: Workspace) -> tuple[float, ...]:
    return _rate(place, place.proxy(), TAG)


@_measure("fresh-tag", Row("the same, asked about every 15 min", "requests/s", "more"))
def _fresh_tag(place: Workspace) -> tuple[float, ...]:
    with place.fresh_proxy(keeps_tags=True) as running:
        return _rate(place, running, TAG)


@_measure("hot-blob", Row("hot blob, 4 connections", "MB/s", "more"))
def _hot_blob(place: Workspace) -> tuple[float, ...]:
    """Four clients at once, again and again for as long as a rate is measured."""
    blob = blob_number(0, place.bench.blob_size)
    url = _blob_url(place.proxy(), blob)
    pull(url, blob.size)
    began = time.monotonic()
    pulled = 0
    while (took := time.monotonic() - began) < place.bench.seconds:
        pull_together(4, url, blob.size)
        pulled += 4 * blob.size
    return (pulled / took / 1_000_000,)


@_measure("cold-blob", Row("cold blob, one client", "MB/s", "more"))
def _cold_blob(place: Workspace) -> tuple[float, ...]:
    blob, url = place.cold_blob()
    seconds = pull(url, blob.size)
    place.bench.upstream.bodies(blob)  # a fetch in the background must not affect the next figure
    return (blob.size / seconds / 1_000_000,)


@_measure(
    "cold-clients",
    Row("32 cold clients, one blob: upstream bodies", "", "less"),
    Row("32 cold clients, one blob: slowest", "s", "less", 2),
)
def _cold_clients(place: Workspace) -> tuple[float, ...]:
    upstream, (blob, url) = place.bench.upstream, place.cold_blob()
    before = upstream.bodies(blob)
    slowest = max(pull_together(32, url, blob.size))
    return (upstream.bodies(blob) - before, slowest)


@_measure("large-blob", Row("peak memory, one cold blob of 2 GiB", "MiB", "less"), repetitions=1)
def _large_blob(place: Workspace) -> tuple[float, ...]:
    blob = blob_number(0, place.bench.large_size)
    with place.fresh_proxy() as running:
        pull(_blob_url(running, blob), blob.size)
        return (running.peak_memory(),)


@_measure("gc", Row("garbage collection, dry run", "s", "less", 2), warm_ups=1)
def _garbage_collection(place: Workspace) -> tuple[float, ...]:
    root = place.bench.tree("gc", _write_images, place.bench.gc_manifests)
    return (place.registry.garbage_collect(root, place.directory("gc")),)


@_measure("tags", Row("tags/list, page of 1,000", "ms", "less", 1))
def _tags_page(place: Workspace) -> tuple[float, ...]:
    """The second page, after the first one has warmed up."""
    root = place.bench.tree("tags", _write_tags, place.bench.tags)
    with place.registry.serve(root, place.directory("server")) as running:
        url = f"{running.url}/v2/many/tags/tags/list?n=1000"
        get(url)
        began = time.monotonic()
        get(f"{url}&last=v000999")
        return ((time.monotonic() - began) * 1000,)


# The last one, because it covers all of the above.
@_measure("memory", Row("peak memory", "MiB", "less"), repetitions=1)
def _peak_memory(place: Workspace) -> tuple[float, ...]:
    return (place.proxy().peak_memory(),)


def _rate(place: Workspace, running: Running, reference: str) -> tuple[float, ...]:
    url = f"{running.url}/v2/{REPOSITORY}/manifests/{reference}"
    get(url)
    return (requests_per_second(url, place.bench.seconds),)


def _blob_url(running: Running, blob: Blob) -> str:
    return f"{running.url}/v2/{REPOSITORY}/blobs/{blob.digest}"


def _write_images(root: Path, manifests: int) -> None:
    """Write *manifests* images of 12 layers, every other one untagged, in repositories of 100."""
    for number in range(manifests):
        image = an_image(f"gc-{number}", layers=12, layer_size=2048)
        name, tag = f"gc/app-{number // 100}", f"v{number}"
        _write_image(root, name, image)
        if number % 2 == 0:
            _write(root, layout.tag_current_link(name, tag), image.digest.encode())
            _write(root, layout.tag_index_link(name, tag, image.digest), image.digest.encode())


def _write_tags(root: Path, tags: int) -> None:
    """Write *tags* tags of one image, without the history, which no listing reads."""
    image = an_image("tagged")
    _write_image(root, "many/tags", image)
    for number in range(tags):
        link = layout.tag_current_link("many/tags", f"v{number:06}")
        _write(root, link, image.digest.encode())


def _write_image(root: Path, name: str, image: Image) -> None:
    for blob in image.blobs:
        _write(root, layout.blob_data(blob.digest), blob.content)
        _write(root, layout.layer_link(name, blob.digest), blob.digest.encode())
    _write(root, layout.blob_data(image.digest), image.content)
    _write(root, layout.revision_link(name, image.digest), image.digest.encode())


def _write(root: Path, path: str, content: bytes) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
