"""Warns if a prefix names another upstream than the one whose content is cached below it.

A prefix is part of the name of cached content. If it is given to another upstream, or is removed,
or is new and a repository of ``remoteurl`` had that name, then the wrong upstream answers for the
content. ``/.pullproof/upstreams.json`` keeps what each prefix stood for; distribution ignores it. A
cache of one upstream writes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

from reference_registry.config import ProxyConfig
from reference_registry.names import is_repository_name
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver

__all__ = ["ORIGINS", "note_origins", "origins_kept"]

ORIGINS = "/.pullproof/upstreams.json"
"""Storage path of the file: a JSON object from prefixes to URLs."""

_UNKNOWN = ""

_log = logging.getLogger(__name__)


def origins_kept(
    known: Mapping[str, str], now: Mapping[str, str], has_content: Callable[[str], bool]
) -> dict[str, str]:
    """The upstream whose content is cached below each prefix of *now*: as *known* while there is
    content, empty if unknown; otherwise the upstream that the prefix names now."""
    return {
        prefix: known.get(prefix, _UNKNOWN)
        if known.get(prefix) != url and has_content(prefix)
        else url
        for prefix, url in now.items()
    }


def note_origins(driver: StorageDriver, config: ProxyConfig) -> None:
    """Warn about each prefix below which another upstream's content is cached, and save what is
    known. Nothing is deleted: it may be the last copy."""
    known = _read(driver)
    now = dict.fromkeys(known, config.remoteurl)
    now |= {prefix: upstream.remoteurl for prefix, upstream in config.upstreams.items()}
    kept = origins_kept(known, now, lambda prefix: driver.exists(layout.repository(prefix)))
    for prefix, url in kept.items():
        if url != now[prefix]:
            _log.warning(
                "content cached below %s/ came from %s, not from %s: remove %s to be safe",
                prefix,
                url or "an unknown upstream",
                now[prefix],
                layout.repository(prefix)[1:],
            )
    kept = {
        prefix: url
        for prefix, url in kept.items()
        if prefix in config.upstreams or url != now[prefix]
    }
    if kept != known:
        try:
            driver.write(ORIGINS, json.dumps(kept, sort_keys=True).encode())
        except OSError as error:
            _log.warning("%s cannot be written: %s", ORIGINS[1:], error)


def _read(driver: StorageDriver) -> dict[str, str]:
    try:
        found = json.loads(driver.read(ORIGINS))
    except (PathNotFound, OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        prefix: url
        for prefix, url in found.items()
        if isinstance(url, str) and is_repository_name(prefix)
    }
