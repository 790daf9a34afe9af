"""The manifest types that the proxy asks upstream for: always the same ones, never the client's.

So what is cached does not depend on who asked first.
"""

from __future__ import annotations

import json

from reference_registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    SCHEMA1_SIGNED,
)
from reference_registry.profiles import Profile

__all__ = ["accept_header", "is_json_object", "is_known_manifest_type"]

_ALWAYS = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)


def accept_header(profile: Profile) -> str:
    """The ``Accept`` of manifest requests, as one line."""
    types = list(_ALWAYS)
    if profile.keeps_unknown_manifests:
        types += [SCHEMA1_SIGNED, SCHEMA1, OCI_ARTIFACT, "application/json", "*/*"]
    elif profile.asks_for_schema1:
        types += [SCHEMA1_SIGNED, "application/json"]
    return ", ".join(types)


def is_json_object(content: bytes) -> bool:
    """What manifests of every kind have in common, and the page of a captive portal has not."""
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False


def is_known_manifest_type(content_type: str, profile: Profile) -> bool:
    """Whether an answer of *content_type*, parameters aside, is taken for a manifest."""
    if profile.keeps_unknown_manifests:
        return True
    media_type = content_type.partition(";")[0].strip()
    return media_type in _ALWAYS or (
        profile.accepts_schema1 and media_type in {SCHEMA1_SIGNED, SCHEMA1}
    )
