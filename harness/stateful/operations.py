"""What can happen in a sequence, as data, and what upstream then has. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = [
    "IMAGES",
    "KINDS",
    "OPERATIONS",
    "REPOSITORIES",
    "TAGS",
    "Kind",
    "Model",
    "Operation",
    "Sort",
]

Kind = Literal["proxy", "standard"]
REPOSITORIES = ("team/app", "team/fork")
TAGS = ("v1", "v2")
IMAGES = 4
"""0 and 1 share a layer, 2 is Docker's schema 2, 3 is an index with 0 as its child."""


@dataclass(frozen=True)
class Sort:
    """A kind of operation: on which registries it runs, its words, variants and frequency."""

    kinds: tuple[Kind, ...]
    words: str
    details: tuple[str, ...] = ("",)
    weight: int = 2


KINDS: tuple[Kind, ...] = ("proxy", "standard")
_CACHE: tuple[Kind, ...] = ("proxy",)
_OWN: tuple[Kind, ...] = ("standard",)

OPERATIONS: Mapping[str, Sort] = {
    # Upstream
    "tag": Sort(_CACHE, "upstream: {tag} of {repository} now is image {image}", weight=6),
    "untag": Sort(_CACHE, "upstream: {repository} loses tag {tag}", weight=1),
    "remove": Sort(_CACHE, "upstream: {repository} loses image {image}", weight=1),
    "down": Sort(_CACHE, "upstream: refuses connections", weight=1),
    "up": Sort(_CACHE, "upstream: is up again", weight=1),
    "fault": Sort(
        _CACHE,
        "upstream: answers for {repository} with {detail}",
        ("403", "429", "500", "503", "reset", "truncation", "wrong bytes"),
    ),
    "heal": Sort(_CACHE, "upstream: has no faults again", weight=1),
    # Clients
    "pull": Sort(KINDS, "client: pulls {repository}:{tag}", weight=4),
    "get-tag": Sort(KINDS, "client: GET {tag} of {repository}, accepting {detail}", ("all", "*/*")),
    "head-tag": Sort(KINDS, "client: HEAD {tag} of {repository}"),
    "get-digest": Sort(KINDS, "client: GET manifest of image {image} from {repository}"),
    "head-digest": Sort(KINDS, "client: HEAD manifest of image {image} from {repository}"),
    "if-none-match": Sort(
        KINDS, "client: GET {tag} of {repository} unless it is image {image}", weight=1
    ),
    "get-blob": Sort(
        KINDS, "client: GET {detail} of image {image} from {repository}", ("layer", "config")
    ),
    "head-blob": Sort(KINDS, "client: HEAD layer of image {image} from {repository}"),
    "range": Sort(
        KINDS,
        "client: GET {detail} of image {image}'s layer from {repository}",
        ("bytes=0-9", "bytes=100-", "bytes=-7", "bytes=0-1,4-5", "bytes=5-2"),
    ),
    "unless-blob": Sort(
        KINDS, "client: GET layer of image {image} from {repository}, if none match", weight=1
    ),
    "tags": Sort(KINDS, "client: lists the tags of {repository}{detail}", ("", "?n=1", "?n=0")),
    "catalog": Sort(KINDS, "client: lists the repositories", weight=1),
    "push": Sort(KINDS, "client: pushes image {image} as {repository}:{tag}", weight=3),
    "put-manifest": Sort(
        KINDS,
        "client: PUT manifest of image {image} as {repository}:{tag}, without its blobs",
        weight=1,
    ),
    "push-blob": Sort(_OWN, "client: pushes the layer of image {image} to {repository}"),
    "mount": Sort(
        _OWN, "client: mounts the layer of image {image} into {repository} from the other"
    ),
    "delete-tag": Sort(KINDS, "client: DELETE {tag} of {repository}", weight=1),
    "delete-digest": Sort(
        KINDS, "client: DELETE manifest of image {image} from {repository}", weight=1
    ),
    "delete-blob": Sort(KINDS, "client: DELETE layer of image {image} from {repository}", weight=1),
    # Operator and time
    "restart": Sort(KINDS, "operator: restarts the registry", weight=1),
    "collect": Sort(KINDS, "operator: collects garbage{detail}", ("", ", untagged too"), weight=1),
    "later": Sort(_CACHE, "time: {detail} pass", ("8 days",), weight=1),
}


@dataclass(frozen=True)
class Operation:
    """One operation. Numbers count from 0; those that its kind does not use are 0."""

    do: str
    repository: int = 0
    tag: int = 0
    image: int = 0
    detail: str = ""

    def words(self) -> str:
        """One line for people."""
        return OPERATIONS[self.do].words.format(
            repository=REPOSITORIES[self.repository],
            tag=TAGS[self.tag],
            image=self.image,
            detail=self.detail,
        )

    def as_data(self) -> dict[str, Any]:
        """As JSON values, without defaults."""
        return {name: value for name, value in asdict(self).items() if value or name == "do"}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Operation:
        """The reverse of :meth:`as_data`. ``ValueError`` for an unknown operation."""
        try:
            one = cls(**data)
            known = OPERATIONS[one.do]
            REPOSITORIES[one.repository], TAGS[one.tag], range(IMAGES)[one.image]
        except (TypeError, KeyError, IndexError) as problem:
            raise ValueError(f"{data!r} is not an operation") from problem
        if one.detail not in known.details:
            raise ValueError(f"{data!r}: detail must be one of {', '.join(known.details)}")
        return one


@dataclass
class Model:
    """Upstream's content and health after the operations so far."""

    tags: dict[tuple[int, int], int] = field(default_factory=dict)
    """Repository and tag to image."""
    held: set[tuple[int, int]] = field(default_factory=set)
    """Repository and image."""
    is_down: bool = False
    is_faulty: bool = False

    def take(self, one: Operation) -> bool:
        """Apply *one*; False where it changes nothing or is impossible."""
        place = one.repository, one.tag
        held = one.repository, one.image
        match one.do:
            case "tag":
                self.tags[place] = one.image
                self.held.add(held)
            case "untag":
                return self.tags.pop(place, None) is not None
            case "remove":
                if held not in self.held:
                    return False
                self.held.discard(held)
                self.tags = {
                    (repository, tag): image
                    for (repository, tag), image in self.tags.items()
                    if (repository, image) != held
                }
            case "down" | "up":
                if self.is_down == (one.do == "down"):
                    return False
                self.is_down = one.do == "down"
            case "fault":
                self.is_faulty = True
            case "heal":
                was, self.is_faulty = self.is_faulty, False
                return was
        return True
