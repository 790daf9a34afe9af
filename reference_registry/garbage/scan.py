"""Garbage collection: reading the content of each repository.

Directories are listed once each and links are not read where their names are enough, because system
calls take most of the time on a large storage.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from reference_registry.digest import Digest, algorithm_of
from reference_registry.garbage.mark import UNREADABLE, RepositoryContent
from reference_registry.manifest import ManifestInvalid, ParsedManifest, parse_manifest
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.enumeration import digests_named_in
from reference_registry.storage.local_content import RepositoryLinks
from reference_registry.storage.store import Storage

__all__ = ["RepositoryReader"]

_log = logging.getLogger(__name__)


class RepositoryReader:
    """Reads the repositories of *storage* for marking; *with_tags* if untagged manifests are to be
    deleted. Damage that does not stop it is reported in ``warnings`` and in the log."""

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
        if self._profile.gc_reports_damage:
            _log.warning("%s", text)
            self.warnings.append(text)
