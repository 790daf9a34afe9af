"""What a client that accepts certain manifest types is given.

``ideal`` serves what is stored: every client of today can read it, and the digest stays right.
Releases of distribution hide or convert (their ``handlers/manifests.go``, ``GetManifest``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum, auto

from reference_registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    ContentReference,
)
from reference_registry.profiles import Profile

__all__ = ["Treatment", "accepted_types", "default_platform", "treatment"]


class Treatment(Enum):
    """What to do with the manifest that was found."""

    SERVE = auto()
    HIDE_OCI_MANIFEST = auto()
    HIDE_OCI_INDEX = auto()
    CONVERT_TO_SCHEMA1 = auto()
    PICK_PLATFORM = auto()
    """Serve the linux/amd64 child of a list in its place."""


def accepted_types(lines: Iterable[str]) -> frozenset[str]:
    """The media types of ``Accept`` header lines, without parameters; ``q`` is not looked at."""
    return frozenset(
        part.partition(";")[0].strip().lower() for line in lines for part in line.split(",")
    )


def treatment(
    media_type: str, accept: Collection[str], *, by_tag: bool, profile: Profile
) -> Treatment:
    """How a manifest of *media_type* reaches a client that sent these *accept* lines. Wildcards are
    not understood by releases. What was asked for by digest is never converted."""
    unaccepted = _unaccepted(media_type, by_tag, profile)
    # Nearly every manifest is served to everybody: the header is read for the others only.
    if unaccepted is Treatment.SERVE or media_type in accepted_types(accept):
        return Treatment.SERVE
    return unaccepted


def _unaccepted(media_type: str, by_tag: bool, profile: Profile) -> Treatment:
    if media_type == OCI_MANIFEST and profile.oci_manifest_needs_accept:
        return Treatment.HIDE_OCI_MANIFEST
    if media_type == OCI_INDEX and profile.oci_index_needs_accept:
        return Treatment.HIDE_OCI_INDEX
    if media_type == DOCKER_MANIFEST and by_tag and profile.converts_to_schema1:
        return Treatment.CONVERT_TO_SCHEMA1
    if media_type == DOCKER_LIST and by_tag and profile.picks_platform_for_old_clients:
        return Treatment.PICK_PLATFORM
    return Treatment.SERVE


def default_platform(children: Iterable[ContentReference]) -> ContentReference | None:
    """The first child for linux/amd64."""
    for child in children:
        platform = child.platform or {}
        if platform.get("os") == "linux" and platform.get("architecture") == "amd64":
            return child
    return None
