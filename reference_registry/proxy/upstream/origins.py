"""Noticing that a prefix means another upstream than the one that gave what is cached below it.

A prefix is part of the name of what is cached. Where it is given to another upstream, or is no
prefix any more, or was none before, so that the name is one of ``remoteurl``, the new one answers
for content that it never had.
What each prefix stood for is kept in ``/.pullproof/upstreams.json``, at which distribution does not
look; nothing is written for a cache of one upstream.
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
    """Where what is cached below each prefix of *now* came from: as *known*, and empty for unknown,
    as long as there is something; else from whom the prefix means now."""
    return {
        prefix: known.get(prefix, _UNKNOWN)
        if known.get(prefix) != url and has_content(prefix)
        else url
        for prefix, url in now.items()
    }


def note_origins(driver: StorageDriver, config: ProxyConfig) -> None:
    """Warn of each prefix below which another upstream's content is cached, and keep what is known.
    Nothing is deleted: it may be all that is left."""
    known = _read(driver)
    now = dict.fromkeys(known, config.remoteurl)
    now |= {prefix: upstream.remoteurl for prefix, upstream in config.upstreams.items()}
    kept = origins_kept(known, now, lambda prefix: driver.exists(layout.repository(prefix)))
    for prefix, url in kept.items():
        if url != now[prefix]:
            _log.warning(
                "what is cached below %s/ came from %s, and not from %s: remove %s to be sure",
                prefix,
                url or "an upstream that is not known any more",
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
