"""A read-only view of a registry's storage.

The layout is distribution's (``registry/storage/paths.go``), as
:mod:`reference_registry.storage.layout` has it. A registry may write at the same time, so a file
that disappears between listing and opening counts as missing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reference_registry.digest import parse_digest
from reference_registry.names import is_repository_name
from reference_registry.storage import layout

# The directories of a repository. Names may nest: a and a/b can both be repositories.
_MARKS = frozenset({"_layers", "_manifests", "_uploads"})
# Used to find a running registry (reference_registry.garbage.online).
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
        """The changes from this snapshot to a *later* one."""
        both = self.keys() & later.keys()
        return Changes(
            added=frozenset(later.keys() - both),
            removed=frozenset(self.keys() - both),
            changed=frozenset(path for path in both if self[path] != later[path]),
        )


class Disk:
    """A read-only view of one storage root. ``ValueError`` for a wrong repository name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def files(self) -> list[str]:
        """The paths of all files, relative to the root, sorted."""
        return sorted(str(path.relative_to(self.root)) for path in self._walk())

    def snapshot(self) -> Snapshot:
        snapshot = Snapshot()
        for path in self._walk():
            with suppress(FileNotFoundError), path.open("rb") as file:
                hashed = hashlib.file_digest(file, "sha256").hexdigest()
                snapshot[str(path.relative_to(self.root))] = hashed
        return snapshot

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
        """The stored bytes of *digest*; ``FileNotFoundError`` if there are none."""
        return self.blob_path(digest).read_bytes()

    def blob_path(self, digest: str) -> Path:
        """The file for the bytes of *digest*. ``ValueError`` if that is not a digest."""
        parsed = parse_digest(digest)
        if parsed is None:
            raise ValueError(f"{digest!r} is not a digest")
        return self._at(layout.blob_data(parsed))

    def repositories(self) -> list[str]:
        """The repositories that have at least a directory, sorted."""
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
        """All digests that *tag* has pointed to: the links of its ``index`` directory."""
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
                    with suppress(FileNotFoundError):
                        key = f"{name}@{_linked(link)}"
                        found[key] = max(link.stat().st_mtime, found.get(key, 0.0))
        return found

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _below(
        self, section: Callable[[str], str], repository: str, pattern: str
    ) -> Iterator[Path]:
        if not is_repository_name(repository):
            raise ValueError(f"{repository!r} is not a repository name")
        return self._at(section(repository)).glob(pattern)

    def _linked_digests(self, section: Callable[[str], str], repository: str) -> set[str]:
        """The digests of the links below *section*. 2.8 creates a link before it writes it, and
        cannot read it in between, so an empty one does not count."""
        links = self._below(section, repository, "*/*/link")
        return {_linked(link) for link in links if _read(link)}

    def _walk(self) -> Iterator[Path]:
        for directory, _, names in os.walk(self.root):
            paths = (Path(directory, name) for name in names)
            yield from (path for path in paths if path.relative_to(self.root) not in _NOT_CONTENT)


def _linked(link: Path) -> str:
    """The digest in the path of *link* (``.../<algorithm>/<hex>/link``)."""
    return f"{link.parent.parent.name}:{link.parent.name}"


def _read(path: Path) -> str | None:
    with suppress(FileNotFoundError):
        return path.read_text()
    return None
