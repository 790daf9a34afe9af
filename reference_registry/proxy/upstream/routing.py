"""Which upstream a repository belongs to, and under which name it is kept here. No I/O.

Repositories of ``proxy.remoteurl`` are kept under their own names, so that a cache of one upstream
has the tree that distribution would have. Those of a further upstream are kept below its prefix, in
the tree as in the API: ``docker/registry/v2/repositories/ghcr.io/team/app``. That is a plain
repository name, so that any registry can open the tree, and one that no other upstream can have:
what the name decides - links, tags, schedule, who may pull - cannot be mixed up.
"""

from __future__ import annotations

from dataclasses import dataclass

from reference_registry.config import ProxyConfig
from reference_registry.config.upstreams import namespaces_of, upstreams_of

__all__ = ["MAIN", "Belonging", "NotServed", "UpstreamRouting"]

MAIN = ""
"""Stands for ``proxy.remoteurl`` where the others have a prefix."""


class NotServed(Exception):
    """No upstream is meant; ``str()`` says why, without telling which ones there are."""


@dataclass(frozen=True)
class Belonging:
    """``name`` is what the upstream with ``prefix`` calls the repository."""

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
        self._is_plain = not (self._prefixes or self._official)

    @property
    def heeds_namespaces(self) -> bool:
        """Whether ``ns=`` is looked at."""
        return bool(self._namespaces)

    def find(self, name: str, namespace: str | None) -> str:
        """Under which name the repository is kept that a client calls *name*, with ``ns=``
        *namespace* if it sent one; empty where *name* is. Raises :class:`NotServed`.

        *namespace* is looked up and nothing else: it never becomes part of a name or an address.
        The prefix of the same upstream may stand in the name beside it, as containerd asks where
        ``override_path`` names the prefix. A name of ``remoteurl`` that begins with the prefix of
        another upstream cannot be kept, and is not served.
        """
        if namespace and self._namespaces:
            return self._find_in(self._owner(namespace), name)
        if self._is_plain or not name:
            return name
        belonging = self.belonging(name)
        return self._kept(belonging.prefix, belonging.name)

    def _owner(self, namespace: str) -> str:
        """The prefix of the upstream that *namespace* means."""
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
        """Whose the repository is that is kept as *kept*."""
        prefix, slash, rest = kept.partition("/")
        if slash and prefix in self._prefixes:
            return Belonging(prefix, rest)
        return Belonging(MAIN, kept)

    def of_namespace(self, kept: list[str], namespace: str) -> list[str]:
        """Those of the names *kept* that *namespace* means, as its upstream calls them. Raises
        :class:`NotServed`."""
        owner = self._owner(namespace)
        found = (self.belonging(name) for name in kept)
        return [belonging.name for belonging in found if belonging.prefix == owner]
