"""The ``x-`` keys of ``proxy`` that say how long a cache trusts what it has, and how much it keeps.

They are this program's own: distribution skips keys that begin with ``x-``, so that a file with
them stays valid there. See docs/configuration.md.
"""

from __future__ import annotations

from datetime import timedelta

from reference_registry.config.model import CachePolicy
from reference_registry.config.section import Section
from reference_registry.config.sizes import parse_size, suggested_size

__all__ = ["read_cache_policy"]


def read_cache_policy(proxy: Section) -> CachePolicy:
    """What the section ``proxy`` asks for; the defaults under a profile that has no such keys."""
    if not proxy.reading.profile.has_x_keys:
        return CachePolicy()
    return CachePolicy(
        tag_freshness=proxy.duration("x-tag-freshness") or timedelta(0),
        negative_ttl=proxy.duration("x-negative-ttl") or timedelta(0),
        max_size=_size(proxy, "x-max-size"),
        refresh_on_hit=proxy.flag("x-refresh-on-hit"),
    )


def _size(section: Section, key: str) -> int | None:
    """In bytes; None where it is absent, 0 or wrong, the last having been noted."""
    text = section.text(key)
    if not text:
        return None
    try:
        return parse_size(text) or None
    except ValueError as error:
        meant = suggested_size(text) or "50GB or 512MiB"
        section.refuse(key, str(error), f"write {meant}")
        return None
