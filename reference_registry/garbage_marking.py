"""Garbage collection, first half: what must stay. No I/O.

Each repository is handed in as what the storage tells of it; out come the digests that are in use
and the manifests and layer links that are not. The rules differ by profile, and releases print
while they walk, so the lines are made here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from reference_registry.digest import Digest
from reference_registry.manifest import ParsedManifest
from reference_registry.profiles import Profile
from reference_registry.storage import layout

__all__ = ["LayerLink", "Marking", "MarkingFailed", "RepositoryContent", "UntaggedManifest", "mark"]


class MarkingFailed(Exception):
    """A release gives up here; nothing may be deleted.

    ``depth`` is the number of walks in progress, each of which puts the storage driver's name
    before the text.
    """

    def __init__(self, text: str, *, depth: int) -> None:
        super().__init__(text)
        self.depth = depth


@dataclass(frozen=True)
class RepositoryContent:
    """What one repository links. Mappings are in the order in which their links are walked."""

    name: str
    manifests: Mapping[Digest, ParsedManifest | None] | None
    """None for content that cannot be read as a manifest; for the whole, no such directory."""
    tags: Mapping[str, Digest] | None
    """None where there never was a tag."""
    layers: Mapping[Digest, Digest] | None
    """From the digest that is linked to the one that its bytes are stored under. None where there
    is no ``_layers`` directory."""


@dataclass(frozen=True)
class UntaggedManifest:
    """A manifest to delete from one repository, with the tags that may remember it."""

    repository: str
    digest: Digest
    tags: tuple[str, ...]

    def line(self, profile: Profile) -> str:
        """How it is printed."""
        if profile.gc_untagged_line == "digest":
            return f"manifest eligible for deletion: {self.digest}"
        tags = " ".join(self.tags)
        return f"manifest eligible for deletion: {{{self.repository} {self.digest} [{tags}]}}"


@dataclass(frozen=True)
class LayerLink:
    """A repository's link to a layer, and where the layer's bytes are."""

    repository: str
    digest: Digest
    stored_as: Digest


@dataclass
class Marking:
    """What came out: digests in use, and links that go if their bytes do (or, in 3.x, anyway)."""

    marked: set[Digest] = field(default_factory=set)
    untagged: list[UntaggedManifest] = field(default_factory=list)
    layer_links: list[LayerLink] = field(default_factory=list)


def mark(
    repositories: Iterable[RepositoryContent],
    profile: Profile,
    *,
    delete_untagged: bool,
    emit: Callable[[str], None],
) -> Marking:
    """Walk *repositories* and decide. Raises :class:`MarkingFailed` where a release fails.

    Without *delete_untagged* every manifest that a repository links is in use, and what it refers
    to. With it, only those that a tag points at; ``ideal`` also keeps the children of a kept index,
    and what refers to a kept manifest by its ``subject``.
    """
    marker = _Marker(profile, delete_untagged, emit)
    for repository in repositories:
        emit(repository.name)
        marker.visit(repository)
    return marker.finish()


class _Marker:
    def __init__(
        self, profile: Profile, delete_untagged: bool, emit: Callable[[str], None]
    ) -> None:
        self._profile = profile
        self._delete_untagged = delete_untagged
        self._emit = emit
        self._result = Marking()

    def visit(self, repository: RepositoryContent) -> None:
        if repository.manifests is None and self._profile.gc_lists_layer_links:
            return  # 3.x goes on with the next repository here, and never sees its layers
        kept = self._kept(repository)
        for digest in repository.manifests or {}:
            if digest in kept:
                self._emit(f"{repository.name}: marking manifest {digest} ")
                self._result.marked.add(digest)
                self._mark_references(repository, digest)
            elif repository.tags is None and self._profile.gc_without_tags == "skips":
                text = f"manifest tags path of repository {repository.name} does not exist"
                self._emit(text)
            else:
                self._untagged(repository, digest)
        self._layer_links(repository)

    def finish(self) -> Marking:
        result = self._result
        if self._profile.gc_untagged_line == "struct":
            # 3.x decides last: a manifest that another repository's index refers to stays.
            result.untagged = [m for m in result.untagged if m.digest not in result.marked]
            for manifest in result.untagged:
                self._emit(manifest.line(self._profile))
        return result

    def _kept(self, repository: RepositoryContent) -> set[Digest]:
        manifests = repository.manifests or {}
        if not self._delete_untagged:
            return set(manifests)
        tagged = set((repository.tags or {}).values()) & set(manifests)
        if self._profile.gc_keeps_referrers:
            return _reachable(tagged, manifests)
        return tagged

    def _untagged(self, repository: RepositoryContent, digest: Digest) -> None:
        manifest = UntaggedManifest(repository.name, digest, tuple(repository.tags or ()))
        if self._profile.gc_untagged_line == "digest":
            self._emit(manifest.line(self._profile))
        if repository.tags is None and self._profile.gc_without_tags == "fails":
            text = f"failed to retrieve tags unknown repository name={repository.name}"
            raise MarkingFailed(text, depth=2)
        self._result.untagged.append(manifest)

    def _mark_references(self, repository: RepositoryContent, digest: Digest) -> None:
        manifests, layers = repository.manifests or {}, repository.layers or {}
        parsed = manifests.get(digest)
        if parsed is None:
            if self._profile.gc_fails_on_unreadable_manifest:
                raise MarkingFailed(f"failed to retrieve manifest for digest {digest}", depth=2)
            return
        marked = self._result.marked
        for reference in (*parsed.blobs, *parsed.children):
            known = reference.digest in marked
            marked.add(reference.digest)
            if self._profile.gc_reads_link_targets:
                marked.add(layers.get(reference.digest, reference.digest))
            if not (known and self._profile.gc_keeps_children_of_tagged_index):
                self._emit(f"{repository.name}: marking blob {reference.digest}")
            if (
                not known
                and self._profile.gc_keeps_children_of_tagged_index
                and reference.digest in manifests
            ):
                self._mark_references(repository, reference.digest)

    def _layer_links(self, repository: RepositoryContent) -> None:
        if not self._profile.gc_removes_layer_links:
            return
        if repository.layers is None:
            if self._profile.gc_fails_without_layers:
                path = layout.layers(repository.name)
                raise MarkingFailed(f"Path not found: {path}", depth=1)
            return
        for digest, stored_as in repository.layers.items():
            # 3.x judges by what it has marked so far, and so may remove links to what stays.
            if self._profile.gc_lists_layer_links and digest in self._result.marked:
                continue
            self._result.layer_links.append(LayerLink(repository.name, digest, stored_as))


def _reachable(
    start: set[Digest], manifests: Mapping[Digest, ParsedManifest | None]
) -> set[Digest]:
    """*start*, the children of what is reached, and what has its ``subject`` in it."""
    referrers: dict[Digest, list[Digest]] = {}
    for digest, parsed in manifests.items():
        if parsed is not None and parsed.subject is not None:
            referrers.setdefault(parsed.subject, []).append(digest)
    reached: set[Digest] = set()
    pending = list(start)
    while pending:
        digest = pending.pop()
        if digest in reached or digest not in manifests:
            continue
        reached.add(digest)
        parsed = manifests[digest]
        if parsed is not None:
            pending += [child.digest for child in parsed.children]
        pending += referrers.get(digest, ())
    return reached
