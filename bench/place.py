"""What one run has: the upstream, prepared trees, and a place for each registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.problem import CannotMeasure
from bench.runners import Registry, Running
from bench.upstream import Upstream, blob_number
from harness.content import Blob

__all__ = ["Bench", "Place"]


@dataclass
class Bench:
    """Sizes, and what all registries share."""

    upstream: Upstream
    directory: Path
    seconds: int
    """How long a rate is measured."""
    blob_size: int
    large_size: int
    """Bytes of the one blob that is much larger than memory should grow for it."""
    gc_manifests: int
    tags: int
    _trees: dict[str, Path] = field(default_factory=dict)

    @property
    def hot_blob(self) -> Blob:
        return blob_number(0, self.blob_size)

    @property
    def large_blob(self) -> Blob:
        return blob_number(0, self.large_size)

    def tree(self, name: str, write: Callable[[Path], None]) -> Path:
        """The storage root *name*, which *write* fills the first time. It is never changed."""
        if name not in self._trees:
            root = self.directory / "trees" / name
            write(root)
            self._trees[name] = root
        return self._trees[name]


class Place:
    """One registry in a run: its processes, its directories, and what it has not pulled yet."""

    def __init__(self, bench: Bench, registry: Registry) -> None:
        self.registry = registry
        self._bench = bench
        self._proxy: Running | CannotMeasure | None = None
        self._number = count(1)
        self._cold = count(1)

    def proxy(self) -> Running:
        """The proxy that runs throughout, started by the first call. What kept it from starting
        keeps it from starting again."""
        if self._proxy is None:
            try:
                self._proxy = self._start_proxy("proxy")
            except CannotMeasure as problem:
                self._proxy = problem
        if isinstance(self._proxy, CannotMeasure):
            raise self._proxy
        if (code := self._proxy.process.exit_code) is not None:
            raise CannotMeasure(f"ended with exit code {code}")
        return self._proxy

    @contextmanager
    def fresh_proxy(self) -> Iterator[Running]:
        """Another proxy, with an empty cache, for a while."""
        with _stopped(self._start_proxy(f"proxy-{next(self._number)}")) as running:
            yield running

    @contextmanager
    def proxy_that_keeps_tags(self) -> Iterator[Running]:
        """The same, which does not ask about a tag that it asked about a moment ago."""
        place = self.directory(f"proxy-{next(self._number)}")
        started = self.registry.proxy_that_keeps_tags(self._bench.upstream.url, place)
        with _stopped(started) as running:
            yield running

    @contextmanager
    def fresh_server(self, root: Path) -> Iterator[Running]:
        """A registry over *root*, for a while."""
        with _stopped(self.registry.serve(root, self.directory("server"))) as running:
            yield running

    def cold_blob(self) -> Blob:
        """A blob that this registry was not asked for yet; its n-th is the same for all."""
        return blob_number(next(self._cold), self._bench.blob_size)

    def directory(self, name: str) -> Path:
        return self._bench.directory / self.registry.name / name

    def stop(self) -> None:
        if isinstance(self._proxy, Running):
            self._proxy.stop()

    def _start_proxy(self, name: str) -> Running:
        return self.registry.proxy(self._bench.upstream.url, self.directory(name))


@contextmanager
def _stopped(running: Running) -> Iterator[Running]:
    """*running*, stopped at the end."""
    try:
        yield running
    finally:
        running.stop()
