"""Upstream routing: which upstream a repository belongs to, and under which name it is cached.

Repositories of ``proxy.remoteurl`` keep their names, so that a cache of one upstream has the tree
that distribution would have. Those of another upstream are cached below its prefix, in the tree as
in the API: ``docker/registry/v2/repositories/ghcr.io/team/app``. That is a plain repository name,
so any registry can open the tree, and no other upstream can have it: what the name decides - links,
tags, schedule, permissions - cannot be mixed up.
"""

from __future__ import annotations

from typing import NamedTuple

from reference_registry.config import ProxyConfig
from reference_registry.config.proxy import namespaces_of, upstreams_of

__all__ = ["MAIN", "Belonging", "NotServed", "UpstreamRouting"]

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
