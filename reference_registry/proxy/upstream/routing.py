"""Upstream routing: which upstream a repository belongs to, and under which name it is cached.

Repositories of ``proxy.remoteurl`` keep their names, so that a cache of one upstream has the tree
that distribution would have. Those of another upstream are cached below its prefix, in the tree as
in the API: ``docker/registry/v2/repositories/ghcr.io/team/app``. That is a plain repository name,
so any registry can open the tree, and no other upstream can have it: what the name decides - links,
tags, schedule, permissions - cannot be mixed up.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from reference_registry.config import ProxyConfig
from reference_registry.config.proxy import namespaces_of, upstreams_of
from reference_registry.names import is_repository_name
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver

ORIGINS = "/.pullproof/upstreams.json"
"""Storage path of a JSON object: the URL of the upstream whose content is cached below each prefix.
Distribution ignores it. A cache of one upstream does not write it."""

_log = logging.getLogger(__name__)

MAIN = ""
"""Stands for ``proxy.remoteurl`` where the others have a prefix."""


class NotServed(Exception):
    """No upstream matches; ``str()`` says why, without naming the existing ones."""


class Belonging(NamedTuple):
    """The upstream with ``prefix`` calls the repository ``name``."""

    prefix: str
    name: str


class UpstreamRouting:
    """The names of all repositories of one cache."""

    def __init__(self, config: ProxyConfig) -> None:
        self._namespaces = namespaces_of(config)
        self._prefixes = frozenset(config.upstreams)
        self._official = frozenset(
            prefix for prefix, _, upstream in upstreams_of(config) if upstream.library
        )
        self.is_plain = not (self._prefixes or self._official or self._namespaces)
        """Whether every repository keeps its name, whatever ``ns=`` says."""

    @property
    def honours_namespaces(self) -> bool:
        """Whether ``ns=`` has an effect."""
        return bool(self._namespaces)

    def find(self, name: str, namespace: str | None) -> str:
        """The name under which the repository is cached that a client calls *name*, with ``ns=``
        *namespace* if it sent one; empty if *name* is. Raises :class:`NotServed`.

        *namespace* is only looked up: it never becomes part of a name or an address. The name may
        have the prefix of the same upstream too, as containerd asks if ``override_path`` names the
        prefix. A name of ``remoteurl`` that starts with the prefix of another upstream cannot be
        cached, and is not served.
        """
        if namespace and self._namespaces:
            return self._find_in(self._owner(namespace), name)
        if self.is_plain or not name:
            return name
        belonging = self.belonging(name)
        return self._kept(belonging.prefix, belonging.name)

    def _owner(self, namespace: str) -> str:
        """The prefix of the upstream for *namespace*."""
        owner = self._namespaces.get(namespace.lower())
        if owner is None:
            raise NotServed("ns names a registry that this cache does not serve")
        return owner

    def _find_in(self, owner: str, name: str) -> str:
        if not name:
            return ""
        given = self.belonging(name)
        if given.prefix == owner:
            return self._kept(owner, given.name)
        if owner == MAIN:
            raise NotServed("the name begins with the prefix of another upstream than ns means")
        return self._kept(owner, name)

    def _kept(self, prefix: str, name: str) -> str:
        if prefix in self._official and "/" not in name:
            name = f"library/{name}"
        return f"{prefix}/{name}" if prefix else name

    def belonging(self, kept: str) -> Belonging:
        """The upstream of the repository that is cached as *kept*, and its name there."""
        prefix, slash, rest = kept.partition("/")
        if slash and prefix in self._prefixes:
            return Belonging(prefix, rest)
        return Belonging(MAIN, kept)

    def of_namespace(self, kept: list[str], namespace: str) -> list[str]:
        """Those of the cached names *kept* that belong to *namespace*, as its upstream calls them.
        Raises :class:`NotServed`."""
        owner = self._owner(namespace)
        found = (self.belonging(name) for name in kept)
        return [belonging.name for belonging in found if belonging.prefix == owner]


# -- what each prefix stood for ------------------------------------------------------------------
def origins_kept(
    known: Mapping[str, str], now: Mapping[str, str], has_content: Callable[[str], bool]
) -> dict[str, str]:
    """The upstream whose content is cached below each prefix of *now*: as *known* while there is
    content, empty if unknown; otherwise the upstream that the prefix names now."""
    return {
        prefix: known.get(prefix, "") if known.get(prefix) != url and has_content(prefix) else url
        for prefix, url in now.items()
    }


def note_origins(driver: StorageDriver, config: ProxyConfig) -> None:
    """Warn about each prefix below which another upstream's content is cached, and save what is
    known. Nothing is deleted: it may be the last copy.

    A prefix is part of the name of cached content. If it is given to another upstream, or is
    removed, or is new and a repository of ``remoteurl`` had that name, then the wrong upstream
    serves the content.
    """
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
