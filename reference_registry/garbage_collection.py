"""``garbage-collect``: deleting what no manifest refers to.

The storage must not be written to meanwhile. What is printed is what distribution prints; see
``garbage_marking`` for the rules.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

from reference_registry.clock import SystemClock
from reference_registry.config import Config
from reference_registry.digest import Digest, algorithm_of
from reference_registry.garbage_marking import (
    LayerLink,
    Marking,
    MarkingFailed,
    RepositoryContent,
    UntaggedManifest,
    mark,
)
from reference_registry.manifest import ManifestInvalid, ParsedManifest, parse_manifest
from reference_registry.profiles import Profile
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.enumeration import repository_names
from reference_registry.storage.links import RepositoryLinks
from reference_registry.storage.store import Storage, open_storage

__all__ = ["collect", "collect_from"]

_log = logging.getLogger(__name__)


def collect(
    config: Config,
    profile: Profile,
    *,
    dry_run: bool,
    delete_untagged: bool,
    quiet: bool = False,
    out: TextIO | None = None,
    err: TextIO | None = None,
    log: logging.Logger = _log,
) -> int:
    """Collect the garbage of the storage that *config* names; the exit code for the command line.

    Marks and what is eligible go to *out* (default: standard output), deletions to *log*, and what
    made it fail, without a newline, to *err* (default: standard error).
    """
    storage = open_storage(config.storage, profile, SystemClock())
    return collect_from(
        storage,
        dry_run=dry_run,
        delete_untagged=delete_untagged,
        quiet=quiet,
        out=out,
        err=err,
        log=log,
    )


def collect_from(
    storage: Storage,
    *,
    dry_run: bool,
    delete_untagged: bool,
    quiet: bool = False,
    out: TextIO | None = None,
    err: TextIO | None = None,
    log: logging.Logger = _log,
) -> int:
    """As :func:`collect`, from an open *storage*."""
    out, err = out or sys.stdout, err or sys.stderr

    def emit(line: str) -> None:
        if not quiet:
            out.write(f"{line}\n")

    try:
        marking = _mark(storage, delete_untagged, emit)
    except _Failed as failure:
        err.write(f"failed to garbage collect: {failure}")
        return 1
    try:
        garbage = [digest for digest in storage.blobs.all() if digest not in marking.marked]
    except PathNotFound as missing:
        if storage.profile.gc_fails_on_empty_storage:
            err.write(f"failed to garbage collect: error enumerating blobs: {missing}")
            return 1
        garbage = []
    _Sweep(storage, emit, log, dry_run=dry_run).run(marking, garbage)
    return 0


class _Failed(Exception):
    """Why marking was given up, in distribution's words."""


def _mark(storage: Storage, delete_untagged: bool, emit: Callable[[str], None]) -> Marking:
    profile = storage.profile
    if not profile.gc_fails_on_empty_storage and not storage.driver.exists(layout.REPOSITORIES):
        return Marking()
    try:
        return mark(_contents(storage), profile, delete_untagged=delete_untagged, emit=emit)
    except PathNotFound as missing:
        raise _Failed(f"failed to mark: {missing}") from None
    except MarkingFailed as failure:
        prefix = f"{storage.driver.name}: " * failure.depth
        raise _Failed(f"failed to mark: {prefix}{failure}") from None


def _contents(storage: Storage) -> Iterator[RepositoryContent]:
    for name in repository_names(storage.driver, storage.profile.gc_enumerates):
        links = RepositoryLinks(storage.driver, name)
        yield RepositoryContent(
            name,
            manifests=_manifests(storage, name, links),
            tags=_tags(links),
            layers=_layers(storage, name, links),
        )


def _manifests(
    storage: Storage, name: str, links: RepositoryLinks
) -> Mapping[Digest, ParsedManifest | None] | None:
    """The manifests whose bytes are there; a link without them is passed over."""
    if not storage.driver.exists(layout.revisions(name)):
        return None
    manifests: dict[Digest, ParsedManifest | None] = {}
    for linked in links.revisions():
        digest = links.revision(linked)
        if digest is None:
            continue
        try:
            manifests[digest] = parse_manifest(storage.blobs.read(digest))
        except PathNotFound:
            continue
        except ManifestInvalid as invalid:
            _log.warning("%s: %s is linked as a manifest: %s", name, digest, invalid)
            manifests[digest] = None
    return manifests


def _tags(links: RepositoryLinks) -> Mapping[str, Digest] | None:
    names = links.tag_names()
    if names is None:
        return None
    return {name: digest for name in names if (digest := links.tag(name)) is not None}


def _layers(storage: Storage, name: str, links: RepositoryLinks) -> Mapping[Digest, Digest] | None:
    if not storage.driver.exists(layout.layers(name)):
        return None
    # What is linked as sha256 is stored so, by every release; only the rest need be read.
    return {
        linked: stored_as
        for linked in links.layers()
        if (stored_as := linked if algorithm_of(linked) == "sha256" else links.layer(linked))
    }


class _Sweep:
    """Prints what is eligible and, unless it is a dry run, deletes it."""

    def __init__(
        self,
        storage: Storage,
        emit: Callable[[str], None],
        log: logging.Logger,
        *,
        dry_run: bool,
    ) -> None:
        self._storage = storage
        self._emit = emit
        self._log = log
        self._dry_run = dry_run

    def run(self, marking: Marking, garbage: list[Digest]) -> None:
        if not self._dry_run:
            for manifest in marking.untagged:
                self._remove_manifest(manifest)
        self._emit(
            f"\n{len(marking.marked)} blobs marked, {len(garbage)} blobs and "
            f"{len(marking.untagged)} manifests eligible for deletion"
        )
        for digest in garbage:
            self._emit(f"blob eligible for deletion: {digest}")
            if not self._dry_run:
                self._delete("Deleting blob: %s", layout.blob_directory(digest))
        swept = set(garbage)
        for link in marking.layer_links:
            self._layer_link(link, swept)

    def _remove_manifest(self, manifest: UntaggedManifest) -> None:
        name, digest = manifest.repository, manifest.digest
        for tag in manifest.tags:
            path = layout.tag_index_link(name, tag, digest).removesuffix("/link")
            if self._storage.driver.exists(path):
                self._delete("deleting manifest tag reference: %s", path)
        path = layout.revision_link(name, digest).removesuffix("/link")
        self._delete("deleting manifest: %s", path)

    def _layer_link(self, link: LayerLink, swept: set[Digest]) -> None:
        if self._storage.profile.gc_lists_layer_links:
            self._emit(f"{link.repository}: layer link eligible for deletion: {link.digest}")
        elif link.stored_as not in swept:
            return
        if not self._dry_run:
            path = layout.layer_link(link.repository, link.digest)
            self._delete("Deleting layer link path: %s", path)

    def _delete(self, message: str, path: str) -> None:
        self._log.info(message, path)
        try:
            self._storage.driver.delete(path)
        except PathNotFound:
            self._log.warning("%s is gone already", path)
