"""Garbage collection, first half: find what must stay. No I/O.

Input is the content of each repository; output the digests that are in use, and the manifests and
layer links that are not. The rules differ by profile, and releases print
while they walk, so the lines are made here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from reference_registry.digest import Digest
from reference_registry.manifest import ParsedManifest
from reference_registry.profiles import Profile
from reference_registry.storage import layout

__all__ = [
    "LayerLink",
    "Marking",
    "MarkingFailed",
    "RepositoryContent",
    "UntaggedManifest",
    "mark",
    "references",
]


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
    tags: Mapping[str, Sequence[Digest]] | None
    """What each tag points at; for a damaged one all that it ever did. None where there never was a
    tag. Only wanted with ``--delete-untagged``."""
    layers: Sequence[Digest] | None
    """The layers that are, or once were, linked. None where there is no ``_layers`` directory."""
    stored_elsewhere: Mapping[Digest, Digest] = field(default_factory=dict)
    """For layers whose bytes are stored under another digest, that one."""
    broken: Set[Digest | str] = frozenset()
    """The manifests and tags whose links do not hold a digest."""


def references(parsed: ParsedManifest | None) -> Iterator[Digest]:
    """The blobs and manifests that must stay with *parsed*."""
    if parsed is not None:
        for reference in (*parsed.blobs, *parsed.children):
            yield reference.digest


@dataclass(frozen=True)
class UntaggedManifest:
    """A manifest to delete from one repository, with the tags that may remember it."""

    repository: str
    digest: Digest
    tags: tuple[str, ...]
    parsed: ParsedManifest | None = None

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
    names: Iterable[str],
    read: Callable[[str], RepositoryContent],
    profile: Profile,
    *,
    delete_untagged: bool,
    emit: Callable[[str], None],
) -> Iterator[Marking]:
    """Walk the repositories *names*, whose content *read* returns. Yields the result so far, before
    each of them and at the end. Raises :class:`MarkingFailed` where a
    release fails.

    Without *delete_untagged* every manifest that a repository links is in use, and what it refers
    to. With it, only those that a tag points at; ``ideal`` also keeps the children of a kept index,
    and what refers to a kept manifest by its ``subject``.
    """
    marker = _Marker(profile, delete_untagged, emit)
    for name in names:
        yield marker.result
        emit(name)
        marker.visit(read(name))
    yield marker.finish()


class _Marker:
    def __init__(
        self, profile: Profile, delete_untagged: bool, emit: Callable[[str], None]
    ) -> None:
        self._profile = profile
        self._delete_untagged = delete_untagged
        self._emit = emit
        self.result = Marking()
        self._layers: list[RepositoryContent] = []
        """What is left of the repositories for the end."""

    def visit(self, repository: RepositoryContent) -> None:
        if repository.manifests is None and self._profile.gc_lists_layer_links:
            return  # 3.x goes on with the next repository here, and never sees its layers
        kept = self._kept(repository)
        for digest in repository.manifests or {}:
            if self._profile.gc_fails_on_broken_links:
                self._fail_if_broken(repository, digest)
            if digest in kept:
                self._emit(f"{repository.name}: marking manifest {digest} ")
                self.result.marked.add(digest)
                self._mark_references(repository, digest)
            elif repository.tags is None and self._profile.gc_without_tags == "skips":
                text = f"manifest tags path of repository {repository.name} does not exist"
                self._emit(text)
            else:
                self._untagged(repository, digest)
        self._layer_links(repository)

    def finish(self) -> Marking:
        result = self.result
        for repository in self._layers:
            self._judge_layer_links(repository)
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
        pointed_at = {digest for of_tag in (repository.tags or {}).values() for digest in of_tag}
        tagged = pointed_at & set(manifests)
        if self._profile.gc_keeps_referrers:
            return _reachable(tagged, manifests)
        return tagged

    def _fail_if_broken(self, repository: RepositoryContent, digest: Digest) -> None:
        problem = "invalid checksum digest format"
        if digest in repository.broken:
            raise MarkingFailed(problem, depth=2)
        if self._delete_untagged and not repository.broken.isdisjoint(repository.tags or ()):
            raise MarkingFailed(f"failed to retrieve tags for digest {digest}: {problem}", depth=2)

    def _untagged(self, repository: RepositoryContent, digest: Digest) -> None:
        tags, manifests = tuple(repository.tags or ()), repository.manifests or {}
        manifest = UntaggedManifest(repository.name, digest, tags, manifests[digest])
        if self._profile.gc_untagged_line == "digest":
            self._emit(manifest.line(self._profile))
        if repository.tags is None and self._profile.gc_without_tags == "fails":
            text = f"failed to retrieve tags unknown repository name={repository.name}"
            raise MarkingFailed(text, depth=2)
        self.result.untagged.append(manifest)

    def _mark_references(self, repository: RepositoryContent, digest: Digest) -> None:
        manifests, elsewhere = repository.manifests or {}, repository.stored_elsewhere
        parsed = manifests.get(digest)
        if parsed is None:
            if self._profile.gc_fails_on_unreadable_manifest:
                raise MarkingFailed(f"failed to retrieve manifest for digest {digest}", depth=2)
            return
        marked = self.result.marked
        for reference in (*parsed.blobs, *parsed.children):
            known = reference.digest in marked
            marked.add(reference.digest)
            if self._profile.gc_reads_link_targets and reference.digest in elsewhere:
                marked.add(elsewhere[reference.digest])
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
        # 3.x judges by what it has marked so far, and so may remove links to what stays.
        if self._profile.gc_lists_layer_links:
            self._judge_layer_links(repository)
        else:
            self._layers.append(replace(repository, manifests=None, tags=None))

    def _judge_layer_links(self, repository: RepositoryContent) -> None:
        marked = self.result.marked
        for digest in repository.layers or ():
            stored_as = repository.stored_elsewhere.get(digest, digest)
            if digest not in marked or stored_as not in marked:
                self.result.layer_links.append(LayerLink(repository.name, digest, stored_as))


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
