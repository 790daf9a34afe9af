"""What all blob fetches of a proxy share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from reference_registry.counters import TrafficCounters
from reference_registry.digest import Digest
from reference_registry.profiles import Profile
from reference_registry.proxy.blobs.coalesced import Download
from reference_registry.proxy.integrity import Integrity
from reference_registry.proxy.tasks import Background, SingleFlight
from reference_registry.proxy.upstream.client import BlobInfo
from reference_registry.storage.store import Storage

__all__ = ["BlobServices"]


@dataclass(frozen=True)
class BlobServices:
    """*asking* wraps a request to upstream for a digest of a repository; *cached* is called with
    repository and digest of each blob that was cached."""

    storage: Storage
    profile: Profile
    counters: TrafficCounters
    background: Background
    integrity: Integrity
    asking: Callable[[str, str], AbstractContextManager[None]]
    cached: Callable[[str, Digest], None]
    downloads: dict[Digest, Download] = field(default_factory=dict)
    """The downloads that ``ideal`` has running, for all upstreams and repositories."""
    joined_stats: SingleFlight[tuple[str, Digest], BlobInfo] = field(default_factory=SingleFlight)
    storing: set[Digest] = field(default_factory=set)
    """The blobs that a release is caching, for all repositories."""
