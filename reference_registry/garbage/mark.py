"""Garbage collection, first half: find what must stay. No I/O.

Input is the content of each repository; output the digests that are in use, and the manifests and
layer links that are not. The rules differ by profile. Releases print while they walk, so this
module makes the lines too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from reference_registry.digest import Digest
from reference_registry.manifest import ParsedManifest
from reference_registry.profiles import Profile
from reference_registry.storage import layout

UNREADABLE = ParsedManifest("")
"""Stands for content that is not a manifest."""


class MarkingFailed(Exception):
    """A release fails here; nothing may be deleted.

    ``depth`` is the number of walks in progress. Each of them puts the storage driver's name before
    the text.
    """

    def __init__(self, text: str, *, depth: int) -> None:
        super().__init__(text)
        self.depth = depth


@dataclass(frozen=True)
class RepositoryContent:
    """What one repository links. Mappings are in the order in which their links are walked."""

    name: str
    manifests: Mapping[Digest, ParsedManifest] | None
    """None without a directory for them."""
    tags: Mapping[str, Sequence[Digest]] | None
    """What each tag points at; for a damaged one all that it ever pointed at. None if there never
    was a tag. Only needed with ``--delete-untagged``."""
    layers: Sequence[Digest] | None
    """The layers that are, or once were, linked. None without a ``_layers`` directory."""
    stored_elsewhere: Mapping[Digest, Digest] = field(default_factory=dict)
    """For layers whose bytes are stored under another digest, that digest."""
    broken: Set[Digest | str] = frozenset()
    """The manifests and tags whose links do not hold a digest."""


@dataclass(frozen=True)
class UntaggedManifest:
    """A manifest to delete from one repository, with the tags that may have pointed at it."""

    repository: str
    digest: Digest
    tags: tuple[str, ...]
    parsed: ParsedManifest = UNREADABLE


@dataclass(frozen=True)
class LayerLink:
    """A repository's link to a layer, and the digest that the layer's bytes are stored under."""

    repository: str
    digest: Digest
    stored_as: Digest


class Marker:
    """Marks the repositories that :meth:`visit` gets, until :meth:`finish`.

    Without *delete_untagged* every manifest that a repository links is in use, and what it refers
    to. With it, only those that a tag points at; ``ideal`` also keeps the children of a kept index,
    and what refers to a kept manifest by its ``subject``. Lines of output go to *emit*.
    """

    def __init__(
        self, profile: Profile, delete_untagged: bool, emit: Callable[[str], None]
    ) -> None:
        self.marked: set[Digest] = set()
        """Digests in use."""
        self.untagged: list[UntaggedManifest] = []
        self.layer_links: list[LayerLink] = []
        """Links that go if their bytes do (in 3.x they go anyway)."""
        self._profile = profile
        self._delete_untagged = delete_untagged
        self._emit = emit
        self._layers: list[tuple[str, Sequence[Digest], Mapping[Digest, Digest]]] = []
        """The layer links to decide on at the end."""

    def visit(self, repository: RepositoryContent) -> None:
        """Mark *repository*. Raises :class:`MarkingFailed` where a release fails."""
        profile = self._profile
        if repository.manifests is None and profile.gc_lists_layer_links:
            return  # 3.x continues with the next repository here, and never sees its layers
        kept = self._kept(repository)
        for digest in repository.manifests or {}:
            if profile.gc_fails_on_broken_links:
                self._fail_if_broken(repository, digest)
            if digest in kept:
                self._emit(f"{repository.name}: marking manifest {digest} ")
                self.marked.add(digest)
                self._mark_references(repository, digest)
            elif repository.tags is None and profile.gc_without_tags == "skips":
                text = f"manifest tags path of repository {repository.name} does not exist"
                self._emit(text)
            else:
                self._untag(repository, digest)
        if profile.gc_removes_layer_links:
            self._visit_layers(repository)

    def finish(self) -> None:
        """Decide what could not be decided before every repository was visited."""
        for layers in self._layers:
            self._judge_layers(*layers)
        if self._profile.gc_untagged_line == "struct":
            # 3.x decides last: a manifest that another repository's index refers to stays.
            self.untagged = [each for each in self.untagged if each.digest not in self.marked]
            for each in self.untagged:
                struct = f"{{{each.repository} {each.digest} [{' '.join(each.tags)}]}}"
                self._emit(f"manifest eligible for deletion: {struct}")

    def _kept(self, repository: RepositoryContent) -> set[Digest]:
        manifests = repository.manifests or {}
        if not self._delete_untagged:
            return set(manifests)
        pointed_at = {digest for of_tag in (repository.tags or {}).values() for digest in of_tag}
        tagged = pointed_at & set(manifests)
        return _reachable(tagged, manifests) if self._profile.gc_keeps_referrers else tagged

    def _fail_if_broken(self, repository: RepositoryContent, digest: Digest) -> None:
        problem = "invalid checksum digest format"
        if digest in repository.broken:
            raise MarkingFailed(problem, depth=2)
        if self._delete_untagged and not repository.broken.isdisjoint(repository.tags or ()):
            raise MarkingFailed(f"failed to retrieve tags for digest {digest}: {problem}", depth=2)

    def _untag(self, repository: RepositoryContent, digest: Digest) -> None:
        tags, manifests = tuple(repository.tags or ()), repository.manifests or {}
        if self._profile.gc_untagged_line == "digest":
            self._emit(f"manifest eligible for deletion: {digest}")
        if repository.tags is None and self._profile.gc_without_tags == "fails":
            text = f"failed to retrieve tags unknown repository name={repository.name}"
            raise MarkingFailed(text, depth=2)
        self.untagged.append(UntaggedManifest(repository.name, digest, tags, manifests[digest]))

    def _mark_references(self, repository: RepositoryContent, digest: Digest) -> None:
        manifests, elsewhere = repository.manifests or {}, repository.stored_elsewhere
        parsed = manifests.get(digest, UNREADABLE)
        if parsed is UNREADABLE and self._profile.gc_fails_on_unreadable_manifest:
            raise MarkingFailed(f"failed to retrieve manifest for digest {digest}", depth=2)
        follows = self._profile.gc_keeps_children_of_tagged_index
        for reference in parsed.references:
            known = reference in self.marked
            self.marked.add(reference)
            if self._profile.gc_reads_link_targets and reference in elsewhere:
                self.marked.add(elsewhere[reference])
            if not (known and follows):
                self._emit(f"{repository.name}: marking blob {reference}")
            if not known and follows and reference in manifests:
                self._mark_references(repository, reference)

    def _visit_layers(self, repository: RepositoryContent) -> None:
        name, layers = repository.name, repository.layers
        if layers is None:
            if self._profile.gc_fails_without_layers:
                raise MarkingFailed(f"Path not found: {layout.layers(name)}", depth=1)
        # 3.x judges by what it has marked so far, and so may remove links to what stays.
        elif self._profile.gc_lists_layer_links:
            self._judge_layers(name, layers, repository.stored_elsewhere)
        else:
            self._layers.append((name, layers, repository.stored_elsewhere))

    def _judge_layers(
        self, name: str, layers: Sequence[Digest], stored_elsewhere: Mapping[Digest, Digest]
    ) -> None:
        for digest in layers:
            stored_as = stored_elsewhere.get(digest, digest)
            if digest not in self.marked or stored_as not in self.marked:
                self.layer_links.append(LayerLink(name, digest, stored_as))


def _reachable(start: set[Digest], manifests: Mapping[Digest, ParsedManifest]) -> set[Digest]:
    """*start*, the children of what is reached, and what has its ``subject`` in it."""
    referrers: dict[Digest, list[Digest]] = {}
    for digest, parsed in manifests.items():
        if parsed.subject is not None:
            referrers.setdefault(parsed.subject, []).append(digest)
    reached: set[Digest] = set()
    pending = list(start)
    while pending:
        digest = pending.pop()
        if digest not in reached and digest in manifests:
            reached.add(digest)
            pending += [child.digest for child in manifests[digest].children]
            pending += referrers.get(digest, ())
    return reached
