"""``garbage-collect``: deleting what no manifest refers to.

What is printed is what distribution prints; see ``garbage_marking`` for the rules, and
``garbage_sweep`` for how it is deleted next to a registry that serves.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TextIO

from reference_registry.clock import SystemClock
from reference_registry.config import Config
from reference_registry.garbage.mark import Marking, MarkingFailed, mark
from reference_registry.garbage.scan import RepositoryReader
from reference_registry.garbage.sweep import TRASH, Sweep, SweepResult
from reference_registry.profiles import Profile
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.enumeration import repository_names
from reference_registry.storage.file_lock import FileLock
from reference_registry.storage.store import Storage, open_storage

__all__ = ["Collection", "CollectionFailed", "Options", "collect", "run"]

_LOCK = "/.pullproof/garbage-collection.lock"

_log = logging.getLogger(__name__)


class CollectionFailed(Exception):
    """Why a collection was given up, in distribution's words where it has some."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is to be done. *grace*: what was leased so long ago or less stays (``ideal``)."""

    dry_run: bool = False
    delete_untagged: bool = False
    grace: timedelta = timedelta(0)


@dataclass
class Collection:
    """One run over *storage*: begun by iterating over :meth:`steps`, which ends with all done."""

    storage: Storage
    wish: Options
    emit: Callable[[str], None]
    log: logging.Logger = _log
    marking: Marking = field(default_factory=Marking)
    swept: SweepResult = field(default_factory=SweepResult)
    repositories: int = 0
    warnings: list[str] = field(default_factory=list)

    def steps(self) -> Iterator[tuple[str, int, int]]:
        """Do it, a step at a time: what is being done, and how much of how much has been. Between
        two steps anybody may push, pull or delete.

        Raises :class:`CollectionFailed`, and ``OSError`` where the disk fails.
        """
        lock = self._lock()
        try:
            yield from self._steps()
        finally:
            if lock is not None:
                lock.release(remove=True)

    def _steps(self) -> Iterator[tuple[str, int, int]]:
        # Before anything is looked at: what is leased after that was not seen.
        cutoff = self._cutoff()
        if self._minds_others:
            with contextlib.suppress(PathNotFound):
                self.storage.driver.delete(TRASH)  # What a killed collector left.
        yield from self._mark()
        sweep = Sweep(
            self.storage,
            self.marking,
            cutoff=cutoff,
            online=self._minds_others,
            dry_run=self.wish.dry_run,
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
        reader = RepositoryReader(storage, with_tags=self.wish.delete_untagged)
        self.warnings = reader.warnings
        try:
            names = list(repository_names(storage.driver, profile.gc_enumerates))
            self.repositories = len(names)
            marking = mark(
                names,
                reader.read,
                profile,
                delete_untagged=self.wish.delete_untagged,
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

    # -- next to others ---------------------------------------------------------------------------
    @property
    def _minds_others(self) -> bool:
        return (
            self.storage.leases.are_kept
            and not self.wish.dry_run
            and self.storage.driver.exists(layout.BLOBS)
        )

    def _lock(self) -> FileLock | None:
        """One collector at a time."""
        path = self.storage.driver.local_path(_LOCK)
        if path is None or not self._minds_others:
            return None
        try:
            lock = FileLock.take(path)
        except OSError:  # No locks here; that is told elsewhere.
            return None
        if lock is None:
            raise CollectionFailed("another process is collecting garbage in this storage")
        return lock

    def _cutoff(self) -> int | None:
        """The moment, in ns since 1970, from which on leases count; None: they do not."""
        leases, grace = self.storage.leases, self.wish.grace
        if self._minds_others:
            began = leases.begin_collection()
        elif leases.are_kept and grace:
            began = leases.now()
        else:
            return None
        return began - round(grace.total_seconds() * 1e9)


def collect(
    config: Config,
    profile: Profile,
    *,
    dry_run: bool,
    delete_untagged: bool,
    grace: timedelta = timedelta(0),
    out: TextIO,
    err: TextIO,
    log: logging.Logger = _log,
) -> int:
    """Collect the garbage of the storage that *config* names; the exit code for the command line.

    Marks and what is eligible go to *out*, deletions to *log*, and what made it fail, without a
    newline, to *err*.
    """
    storage = open_storage(config.storage, profile, SystemClock())
    wish = Options(dry_run=dry_run, delete_untagged=delete_untagged, grace=grace)
    collection = Collection(storage, wish, lambda line: print(line, file=out), log)
    failure = run(collection)
    if failure is None:
        return 0
    err.write(f"failed to garbage collect: {failure}")
    return 1


def run(
    collection: Collection, watch: Callable[[str, int, int], None] = lambda *_: None
) -> str | None:
    """Do *collection*, telling *watch* of each step; what made it fail, or None.
    ``BrokenPipeError`` where nobody reads what it tells any more."""
    try:
        for step in collection.steps():
            watch(*step)
    except BrokenPipeError:
        raise
    except (CollectionFailed, OSError) as failure:
        return str(failure)
    return None
