"""What a configuration amounts to under a profile, where the profile supplies what is missing."""

from __future__ import annotations

from datetime import timedelta

from reference_registry.config.model import Config
from reference_registry.profiles import Profile

__all__ = ["drain_time"]


def drain_time(config: Config, profile: Profile) -> timedelta | None:
    """How long requests in flight may take after a signal; None where the signal just kills."""
    if config.http.draintimeout is not None:
        return config.http.draintimeout
    default = profile.drain_timeout_default
    return None if default is None else timedelta(seconds=default)
