"""``garbage-collect``: delete what no manifest refers to.

The output is distribution's. ``garbage.mark`` has the rules, ``garbage.sweep`` the deletion.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from reference_registry.garbage.mark import LayerLink, Marker, MarkingFailed, UntaggedManifest
from reference_registry.garbage.scan import RepositoryReader
from reference_registry.garbage.sweep import TRASH, Sweep, SweepResult
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.enumeration import repository_names
from reference_registry.storage.store import Storage

__all__ = ["Collection", "CollectionFailed", "Options", "run"]

_log = logging.getLogger(__name__)

_REPORT_VERSION = 2
"""Version 1 called ``skipped`` ``spared``."""


class CollectionFailed(Exception):
    """Why a collection was given up, in distribution's words if it has some."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """*grace*: content whose lease is at most this old stays (``ideal``)."""

    dry_run: bool = False
    delete_untagged: bool = False
    grace: timedelta = timedelta(0)


class Collection:
    """One run over *storage*: iterate over :meth:`steps`. Lines of output go to *emit*."""

    def __init__(
        self,
        storage: Storage,
        options: Options,
        emit: Callable[[str], None],
        log: logging.Logger = _log,
    ) -> None:
        self.swept = SweepResult()
        self._storage = storage
        self._options = options
        self._emit = emit
        self._log = log
        self._marker = Marker(storage.profile, options.delete_untagged, emit)
        self._repositories = 0
        self._warnings: list[str] = []

    def steps(self) -> Iterator[tuple[str, int, int]]:
        """Collect step by step. Each step yields what is being done, and how much of how much is
        done. Clients may push, pull and delete between steps.

        Raises :class:`CollectionFailed`, and ``OSError`` if the disk fails.
        """
        if self._options.dry_run:
            yield from self._steps()
            return
        leases = self._storage.leases
        try:
            with leases.collecting():
                if leases.are_kept:
                    with contextlib.suppress(PathNotFound):
                        self._storage.driver.delete(TRASH)  # From a collector that was killed.
                yield from self._steps()
        except BlockingIOError as busy:
            raise CollectionFailed(str(busy)) from None

    def _steps(self) -> Iterator[tuple[str, int, int]]:
        since = time.time_ns() - round(self._options.grace.total_seconds() * 1e9)
        yield from self._mark()
        sweep = Sweep(
            self._storage,
            self._marker,
            since=since,
            dry_run=self._options.dry_run,
            emit=self._emit,
            log=self._log,
        )
        self.swept = sweep.swept
        try:
            for done, total in sweep.steps():
                yield "deleting", done, total
        except PathNotFound as missing:
            raise CollectionFailed(f"error enumerating blobs: {missing}") from None

    def _mark(self) -> Iterator[tuple[str, int, int]]:
        storage, profile = self._storage, self._storage.profile
        reader = RepositoryReader(storage, with_tags=self._options.delete_untagged)
        self._warnings = reader.warnings
        try:
            names = list(repository_names(storage.driver, profile.gc_enumerates))
            self._repositories = len(names)
            for done, name in enumerate(names):
                yield "marking", done, len(names)
                self._emit(name)
                self._marker.visit(reader.read(name))
            self._marker.finish()
            yield "marking", len(names), len(names)
        except PathNotFound as missing:
            if profile.gc_fails_on_empty_storage:
                raise CollectionFailed(f"failed to mark: {missing}") from None
        except MarkingFailed as failure:
            prefix = f"{storage.driver.name}: " * failure.depth
            raise CollectionFailed(f"failed to mark: {prefix}{failure}") from None

    def report(self, seconds: float, error: str | None) -> dict[str, object]:
        """What was done in *seconds*, up to the end or *error*: the object that ``--json`` prints
        (docs/garbage-collection.md). ``version`` goes up when a key is renamed, removed or changes
        its meaning."""
        options, swept = self._options, self.swept
        return {
            "version": _REPORT_VERSION,
            "dry_run": options.dry_run,
            "delete_untagged": options.delete_untagged,
            "grace_seconds": options.grace.total_seconds(),
            "error": error,
            "warnings": self._warnings,
            "duration_seconds": round(seconds, 3),
            "repositories": self._repositories,
            "marked": sorted(self._marker.marked),
            "skipped": sorted(set(swept.skipped)),
            "manifests": list(map(_link, swept.manifests)),
            "tag_links": [
                {"repository": repository, "tag": tag, "digest": digest}
                for repository, tag, digest in swept.tag_links
            ],
            "blobs": [{"digest": digest, "size": size} for digest, size in swept.blobs.items()],
            "layer_links": list(map(_link, swept.layer_links)),
            "bytes": sum(swept.blobs.values()),
        }


def _link(link: UntaggedManifest | LayerLink) -> dict[str, str]:
    return {"repository": link.repository, "digest": link.digest}


def run(
    storage: Storage,
    options: Options,
    emit: Callable[[str], None],
    watch: Callable[[str, int, int], None],
    log: logging.Logger = _log,
) -> dict[str, object]:
    """Collect, call *watch* at each step, and return the report, whose ``error`` says why the
    collection failed. ``BrokenPipeError`` if the reader of the output has gone."""
    collection = Collection(storage, options, emit, log)
    began, error = time.monotonic(), None
    try:
        for step in collection.steps():
            watch(*step)
    except BrokenPipeError:
        raise
    except (CollectionFailed, OSError) as failure:
        error = str(failure)
    return collection.report(time.monotonic() - began, error)
