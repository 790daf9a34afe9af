"""``garbage-collect``: delete what no manifest refers to.

The output is distribution's. ``garbage.mark`` has the rules, ``garbage.sweep`` the deletion.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from reference_registry.clock import Clock
from reference_registry.config import GarbageCollectionConfig, StorageConfig
from reference_registry.config.units import format_duration
from reference_registry.digest import Digest, algorithm_of
from reference_registry.garbage.mark import (
    UNREADABLE,
    LayerLink,
    Marker,
    MarkingFailed,
    RepositoryContent,
    UntaggedManifest,
)
from reference_registry.garbage.sweep import TRASH, Sweep, SweepResult
from reference_registry.manifest import ManifestInvalid, ParsedManifest, parse_manifest
from reference_registry.profiles import Profile
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.layout import digests_named_in, repository_names
from reference_registry.storage.local_content import RepositoryLinks
from reference_registry.storage.store import Storage, open_storage

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
                    self._storage.driver.delete(TRASH)  # From a collector that was killed.
                yield from self._steps()
        except BlockingIOError as busy:
            raise CollectionFailed(str(busy)) from None

    def _steps(self) -> Iterator[tuple[str, int, int]]:
        since = time.time_ns() - round(self._options.grace.total_seconds() * 1e9)
        yield from self._mark()
        dry_run = self._options.dry_run
        sweep = Sweep(self._storage, self._marker, since, dry_run, self._emit, self._log)
        self.swept = sweep.swept
        try:
            for done, total in sweep.steps():
                yield "deleting", done, total
        except PathNotFound as missing:
            raise CollectionFailed(f"error enumerating blobs: {missing}") from None

    def _mark(self) -> Iterator[tuple[str, int, int]]:
        storage, profile = self._storage, self._storage.profile
        reader = _Reader(storage, with_tags=self._options.delete_untagged)
        self._warnings = reader.warnings
        try:
            names = list(repository_names(storage.driver, profile.repository_evidence))
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


# -- at intervals, while the registry serves ------------------------------------------------------
async def collect_periodically(
    storage: StorageConfig, config: GarbageCollectionConfig, profile: Profile, clock: Clock
) -> None:
    """Collect at the intervals that *config* sets, until cancelled. The first run is at a random
    moment within an hour, or within an interval if that is shorter."""
    first = min(config.interval, timedelta(hours=1))
    wait = first * random.random()  # noqa: S311 - spreads load, hides nothing
    options = Options(delete_untagged=config.deleteuntagged, grace=config.grace)
    while True:
        await clock.sleep_until(clock.now() + wait)
        # Its own storage object, so that what it reads does not fill the caches of the serving one.
        collection = Collection(open_storage(storage, profile, clock), options, lambda _: None)
        await _collect_in_thread(collection, clock)
        wait = config.interval


async def _collect_in_thread(collection: Collection, clock: Clock) -> None:
    """Run *collection* in a thread; a cancellation waits until the thread has ended."""
    stopping = threading.Event()

    def work() -> None:
        for _ in collection.steps():
            if stopping.is_set():
                break

    began = clock.now()
    working = asyncio.create_task(asyncio.to_thread(work))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        stopping.set()
        await asyncio.wait([working])
        raise
    except CollectionFailed as failure:
        _log.info("garbage collection skipped: %s", failure)
    except OSError as error:
        _log.error("garbage collection failed: %s", error)
    else:
        swept = collection.swept
        _log.info(
            "garbage collected in %s: %d manifests and %d blobs deleted, %d bytes freed, %d in use",
            format_duration(clock.now() - began),
            len(swept.manifests),
            len(swept.blobs),
            sum(swept.blobs.values()),
            len(set(swept.skipped)),
        )


# -- reading --------------------------------------------------------------------------------------
class _Reader:
    """Reads the repositories of *storage* for marking; *with_tags* if untagged manifests are to be
    deleted. Damage that does not stop it is reported in ``warnings`` and in the log.

    System calls take most of the time on a large storage, so each directory is listed once, and a
    link is not read if its name is enough.
    """

    def __init__(self, storage: Storage, *, with_tags: bool) -> None:
        self.warnings: list[str] = []
        self._storage = storage
        self._profile = storage.profile
        self._with_tags = with_tags

    def read(self, name: str) -> RepositoryContent:
        """The content of the repository *name*. ``OSError`` if the disk cannot be read: nothing may
        be deleted then."""
        links = RepositoryLinks(self._storage.driver, name)
        # Tags before manifests: a manifest that is pushed in between is then read without its tag,
        # and its lease keeps it. In the other order a tag might have no manifest.
        broken: set[Digest | str] = set()
        tags = self._tags(name, links, broken) if self._with_tags else {}
        manifests = self._manifests(name, links, broken)
        layers = self._layers(name)
        elsewhere = {}
        for linked in (layers or ()) if self._profile.gc_reads_link_targets else ():
            # Every release stores under sha256 what it links as sha256.
            if algorithm_of(linked) != "sha256" and (stored_as := links.layer(linked)):
                elsewhere[linked] = stored_as
        return RepositoryContent(name, manifests, tags, layers, elsewhere, broken)

    def _manifests(
        self, name: str, links: RepositoryLinks, broken: set[Digest | str]
    ) -> Mapping[Digest, ParsedManifest] | None:
        """The manifests whose bytes are there; a link without them is skipped."""
        try:
            named = digests_named_in(self._storage.driver, layout.revisions(name))
        except PathNotFound:
            return None
        manifests: dict[Digest, ParsedManifest] = {}
        for linked in named:
            digest = links.revision(linked)
            if digest is None:
                if not self._storage.driver.is_file(layout.revision_link(name, linked)):
                    continue
                # The link is in a directory with the name of the digest that it once held.
                self._warn(f"{name}: the link to the manifest {linked} is damaged")
                broken.add(linked)
                digest = linked
            try:
                manifests[digest] = parse_manifest(self._storage.blobs.read(digest))
            except PathNotFound:
                self._warn(f"{name}: {digest} is linked as a manifest, but its bytes are gone")
                if digest in broken:
                    manifests[digest] = UNREADABLE
            except ManifestInvalid as invalid:
                self._warn(f"{name}: {digest} is linked as a manifest: {invalid}")
                manifests[digest] = UNREADABLE
        return manifests

    def _tags(
        self, name: str, links: RepositoryLinks, broken: set[Digest | str]
    ) -> Mapping[str, tuple[Digest, ...]] | None:
        """What each tag points at; for a damaged link all that the tag ever pointed at."""
        names = links.tag_names()
        if names is None:
            return None
        tags: dict[str, tuple[Digest, ...]] = {}
        for tag in names:
            digest = links.tag(tag)
            if digest is not None:
                tags[tag] = (digest,)
            elif self._storage.driver.is_file(layout.tag_current_link(name, tag)):
                self._warn(f"{name}: the link of the tag {tag} is damaged")
                broken.add(tag)
                tags[tag] = tuple(links.history(tag))
        return tags

    def _layers(self, name: str) -> list[Digest] | None:
        """The layers that have a directory, even without a link; None without ``_layers``, and an
        empty list if the profile does not need them."""
        if not (self._profile.gc_removes_layer_links or self._profile.gc_reads_link_targets):
            return []
        try:
            return digests_named_in(self._storage.driver, layout.layers(name))
        except PathNotFound:
            return None

    def _warn(self, text: str) -> None:
        if self._profile.gc_reports:
            _log.warning("%s", text)
            self.warnings.append(text)
