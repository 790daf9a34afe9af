"""``garbage-collect``: delete what no manifest refers to.

The output is distribution's. ``garbage.mark`` has the rules, ``garbage.sweep`` the deletion.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from reference_registry.garbage.mark import Marking, MarkingFailed, mark
from reference_registry.garbage.scan import RepositoryReader
from reference_registry.garbage.sweep import TRASH, Sweep, SweepResult
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.enumeration import repository_names
from reference_registry.storage.store import Storage

__all__ = ["Collection", "CollectionFailed", "Options", "run"]

_log = logging.getLogger(__name__)


class CollectionFailed(Exception):
    """Why a collection was given up, in distribution's words where it has some."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to do. *grace*: content whose lease is at most this old stays (``ideal``)."""

    dry_run: bool = False
    delete_untagged: bool = False
    grace: timedelta = timedelta(0)


@dataclass
class Collection:
    """One run over *storage*: iterate over :meth:`steps`."""

    storage: Storage
    options: Options
    emit: Callable[[str], None]
    log: logging.Logger = _log
    marking: Marking = field(default_factory=Marking)
    swept: SweepResult = field(default_factory=SweepResult)
    repositories: int = 0
    warnings: list[str] = field(default_factory=list)

    def steps(self) -> Iterator[tuple[str, int, int]]:
        """Collect step by step; each step yields what is being done, and how much of how much is
        done. Clients may push, pull and delete between steps.

        Raises :class:`CollectionFailed`, and ``OSError`` where the disk fails.
        """
        if self.options.dry_run:
            yield from self._steps()
            return
        try:
            with self.storage.leases.collecting():
                if self.storage.leases.are_kept:
                    with contextlib.suppress(PathNotFound):
                        self.storage.driver.delete(TRASH)  # From a collector that was killed.
                yield from self._steps()
        except BlockingIOError as busy:
            raise CollectionFailed(str(busy)) from None

    def _steps(self) -> Iterator[tuple[str, int, int]]:
        since = time.time_ns() - round(self.options.grace.total_seconds() * 1e9)
        yield from self._mark()
        sweep = Sweep(
            self.storage,
            self.marking,
            since=since,
            dry_run=self.options.dry_run,
            emit=self.emit,
            log=self.log,
        )
        self.swept = sweep.swept
        try:
            for done, total in sweep.steps():
                yield "deleting", done, total
        except PathNotFound as missing:
            raise CollectionFailed(f"error enumerating blobs: {missing}") from None

    def _mark(self) -> Iterator[tuple[str, int, int]]:
        storage, profile = self.storage, self.storage.profile
        reader = RepositoryReader(storage, with_tags=self.options.delete_untagged)
        self.warnings = reader.warnings
        try:
            names = list(repository_names(storage.driver, profile.gc_enumerates))
            self.repositories = len(names)
            marking = mark(
                names,
                reader.read,
                profile,
                delete_untagged=self.options.delete_untagged,
                emit=self.emit,
            )
            for done, self.marking in enumerate(marking):
                yield "marking", done, len(names)
        except PathNotFound as missing:
            if profile.gc_fails_on_empty_storage:
                raise CollectionFailed(f"failed to mark: {missing}") from None
        except MarkingFailed as failure:
            prefix = f"{storage.driver.name}: " * failure.depth
            raise CollectionFailed(f"failed to mark: {prefix}{failure}") from None


def run(
    collection: Collection, watch: Callable[[str, int, int], None] = lambda *_: None
) -> str | None:
    """Run *collection* and call *watch* at each step; why it failed, or None.
    ``BrokenPipeError`` where the reader of its output has gone."""
    try:
        for step in collection.steps():
            watch(*step)
    except BrokenPipeError:
        raise
    except (CollectionFailed, OSError) as failure:
        return str(failure)
    return None
