"""``garbage-collect CONFIG``."""

from __future__ import annotations

from reference_registry import __version__
from reference_registry.config.file import load
from reference_registry.garbage_collection import collect
from reference_registry.observability.logs import configure_logging
from reference_registry.observability.redaction import Redactor, secrets_of
from reference_registry.profiles import Profile

__all__ = ["garbage_collect"]


def garbage_collect(
    path: str, profile: Profile, *, dry_run: bool, delete_untagged: bool, quiet: bool
) -> int:
    """Delete what no manifest references, in the storage that the file at *path* describes."""
    config = load(path, profile=profile)
    configure_logging(config.log, version=__version__, redact=Redactor(secrets_of(config)))
    return collect(config, profile, dry_run=dry_run, delete_untagged=delete_untagged, quiet=quiet)
