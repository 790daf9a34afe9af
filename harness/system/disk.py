"""A read-only view of a registry's storage.

The layout is distribution's (its ``registry/storage/paths.go``): see
:mod:`reference_registry.storage.layout`, whose paths are used here. A registry may be writing while
we read, so a file that vanishes between listing and opening counts as missing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reference_registry.digest import Digest, parse_digest
from reference_registry.names import is_repository_name
from reference_registry.storage import layout

__all__ = ["Changes", "Disk", "Snapshot"]

# What makes a directory a repository. Names may nest: a/b can be one beside a.
_MARKS = frozenset({"_layers", "_manifests", "_uploads"})
# How a running registry is found, and not what it stores (reference_registry.garbage.online).
_NOT_CONTENT = {Path(".pullproof/lock"), Path(".pullproof/collect.sock")}


@dataclass(frozen=True)
class Changes:
    """Paths that differ between two snapshots."""

    added: frozenset[str]
    removed: frozenset[str]
    changed: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


class Snapshot(dict[str, str]):
    """The SHA-256 (hex) of every file, by path relative to the storage root."""

    def diff(self, later: Mapping[str, str]) -> Changes:
        """What happened between this snapshot and a *later* one."""
        return Changes(
            added=frozenset(later.keys() - self.keys()),
            removed=frozenset(self.keys() - later.keys()),
            changed=frozenset(
                path for path in self.keys() & later.keys() if self[path] != later[path]
            ),
        )


class Disk:
    """A read-only view of one storage root. Sets are returned where order means nothing.

    Names of repositories are checked before they become paths: ``ValueError`` for a wrong one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- files ----------------------------------------------------------------------------------
    def files(self) -> list[str]:
        """The paths of all files, relative to the root, sorted."""
        return sorted(str(path.relative_to(self.root)) for path in self._walk())

    def snapshot(self) -> Snapshot:
        """Every file's content by its hash, to be compared with a later snapshot."""
        snapshot = Snapshot()
        for path in self._walk():
            try:
                with path.open("rb") as file:
                    hashed = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                continue
            snapshot[str(path.relative_to(self.root))] = hashed
        return snapshot

    # -- blobs ----------------------------------------------------------------------------------
    def blobs(self) -> set[str]:
        """The digests whose bytes are stored: layers, configs and manifests."""
        return {
            f"{path.parent.parent.parent.name}:{path.parent.name}"
            for path in self._at(layout.BLOBS).glob("*/*/*/data")
        }

    def has_blob(self, digest: str) -> bool:
        """Whether the bytes of *digest* are stored, in any repository."""
        return self.blob_path(digest).is_file()

    def blob_bytes(self, digest: str) -> bytes:
        """The stored bytes of *digest*; ``FileNotFoundError`` where there are none."""
        return self.blob_path(digest).read_bytes()

    def blob_path(self, digest: str) -> Path:
        """The file that holds, or would hold, the bytes of *digest*."""
        return self._at(layout.blob_data(_digest(digest)))

    # -- repositories ---------------------------------------------------------------------------
    def repositories(self) -> list[str]:
        """The repositories of which anything is stored, even an empty directory, sorted."""
        top = self._at(layout.REPOSITORIES)
        return sorted(
            str(Path(directory).relative_to(top))
            for directory, children, _ in os.walk(top)
            if _MARKS.intersection(children)
        )

    def tags(self, repository: str) -> dict[str, str]:
        """Each tag with the digest that its ``current`` link holds."""
        found = {}
        for link in self._below(layout.tags, repository, "*/current/link"):
            if digest := _read(link):
                found[link.parent.parent.name] = digest
        return found

    def tag_history(self, repository: str, tag: str) -> set[str]:
        """The digests that *tag* ever pointed to: the links of its ``index`` directory."""
        return {
            _linked(link)
            for link in self._below(layout.tags, repository, "*/index/*/*/link")
            if link.parents[3].name == tag
        }

    def revisions(self, repository: str) -> set[str]:
        """The digests of the manifests that are linked into *repository*."""
        return self._linked_digests(layout.revisions, repository)

    def layer_links(self, repository: str) -> set[str]:
        """The digests of the blobs (layers and configs) that are linked into *repository*."""
        return self._linked_digests(layout.layers, repository)

    def uploads(self, repository: str) -> set[str]:
        """The ids of the upload directories of *repository*, finished or abandoned."""
        return {path.name for path in self._below(layout.uploads, repository, "*")}

    def links(self) -> dict[str, float]:
        """When each revision or layer link was last written, in seconds since the epoch, by
        ``repository@digest`` (the key of a ``scheduler-state.json`` entry)."""
        found: dict[str, float] = {}
        for name in self.repositories():
            for section in (layout.layers, layout.revisions):
                for link in self._below(section, name, "*/*/link"):
                    try:
                        written = link.stat().st_mtime
                    except FileNotFoundError:
                        continue
                    key = f"{name}@{_linked(link)}"
                    found[key] = max(written, found.get(key, 0.0))
        return found

    # -- how to get there -----------------------------------------------------------------------
    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _below(
        self, section: Callable[[str], str], repository: str, pattern: str
    ) -> Iterator[Path]:
        if not is_repository_name(repository):
            raise ValueError(f"{repository!r} is not a repository name")
        return self._at(section(repository)).glob(pattern)

    def _linked_digests(self, section: Callable[[str], str], repository: str) -> set[str]:
        """What the links below *section* contain. 2.8 creates a link and then writes it, and fails
        where somebody asks in between: one that is still empty does not count."""
        links = self._below(section, repository, "*/*/link")
        return {_linked(link) for link in links if _read(link)}

    def _walk(self) -> Iterator[Path]:
        for directory, _, names in os.walk(self.root):
            paths = (Path(directory, name) for name in names)
            yield from (path for path in paths if path.relative_to(self.root) not in _NOT_CONTENT)


def _digest(text: str) -> Digest:
    digest = parse_digest(text)
    if digest is None:
        raise ValueError(f"{text!r} is not a digest")
    return digest


def _linked(link: Path) -> str:
    """The digest in the path of *link* (``.../<algorithm>/<hex>/link``)."""
    return f"{link.parent.parent.name}:{link.parent.name}"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
