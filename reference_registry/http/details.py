"""Errors whose ``detail`` releases word differently: as text, or as the Go struct marshalled."""

from __future__ import annotations

from typing import Any

from reference_registry.digest import Digest
from reference_registry.http.errors import (
    MANIFEST_UNKNOWN,
    NAME_UNKNOWN,
    UNSUPPORTED,
    RegistryError,
)
from reference_registry.profiles import Profile

__all__ = ["detail", "unknown_repository", "unknown_revision", "unknown_tag", "unsupported"]


def detail(profile: Profile, text: str, struct: Any = None) -> Any:
    """*text*, or *struct* (``{}`` where not given) where *profile* marshals Go errors."""
    if profile.error_detail == "text":
        return text
    return {} if struct is None else struct


def unknown_tag(profile: Profile, tag: str) -> RegistryError:
    """404 for a tag that does not exist."""
    return MANIFEST_UNKNOWN(detail(profile, f"unknown tag={tag}", {"Tag": tag}))


def unknown_revision(profile: Profile, name: str, digest: Digest) -> RegistryError:
    """404 for a manifest digest that the repository *name* does not have."""
    text = f"unknown manifest name={name} revision={digest}"
    return MANIFEST_UNKNOWN(detail(profile, text, {"Name": name, "Revision": digest}))


def unknown_repository(name: str) -> RegistryError:
    """404 for a repository in which nothing is stored."""
    return NAME_UNKNOWN({"name": name})


def unsupported() -> RegistryError:
    """405, as distribution words every operation that is turned off."""
    return UNSUPPORTED()
