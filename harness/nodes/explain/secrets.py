"""Which login of which pull secret is used for an image, and why the others are not.

The choice is kubelet's (:mod:`harness.nodes.models.kubelet`); this puts it into words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from harness.nodes.explain.explanation import SecretExplained
from harness.nodes.models.kubelet import Keyring, KeyringEntry
from harness.nodes.models.reference import Reference

__all__ = ["Login", "chosen", "explained"]


@dataclass(frozen=True)
class Login:
    """One login that kubelet tries, in one PullImage of its own."""

    entry: KeyringEntry

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        return f"{self.entry.secret}, key {self.entry.key!r}"


def chosen(
    reference: Reference, of_pod: Iterable[KeyringEntry], of_node: Iterable[KeyringEntry]
) -> tuple[Login, ...]:
    """The logins in the order in which they are tried: the pod's, then the node's."""
    repository = f"{reference.namespace}/{reference.repository}"
    found = (*Keyring(of_pod).lookup(repository), *Keyring(of_node).lookup(repository))
    return tuple(Login(entry) for entry in found)


def explained(
    reference: Reference,
    entries: Sequence[KeyringEntry],
    logins: Sequence[Login],
    contacted: Collection[str],
) -> tuple[SecretExplained, ...]:
    """What becomes of each of *entries*; *contacted* are the hosts that the pull may ask."""
    used = [login.entry for login in logins]
    return tuple(
        SecretExplained(
            secret=entry.secret or "",
            key=entry.key,
            user=entry.username,
            used=entry in used,
            why=_why_used(reference, used.index(entry), len(used))
            if entry in used
            else _why_not(reference, entry.key, contacted),
        )
        for entry in entries
    )


def _why_used(reference: Reference, position: int, count: int) -> str:
    order = f", tried as number {position + 1} of {count}" if count > 1 else ""
    return (
        f"its key fits the image's own name, {reference.namespace}/{reference.repository}{order}; "
        "kubelet sends it without an address, so any host that challenges gets it"
    )


def _why_not(reference: Reference, key: str, contacted: Collection[str]) -> str:
    own = f"{reference.namespace}/{reference.repository}"
    host = _host(key)
    if host in contacted and host != reference.namespace:
        return (
            f"its key names {host}, which is contacted, but kubelet compares keys with the image's "
            f"own name, {own}: make the key {reference.namespace}"
        )
    name, _, port = reference.namespace.partition(":")
    if port and host == name:
        return f"its key lacks the port: make it {reference.namespace}"
    if reference.namespace == "docker.io" and host == "registry-1.docker.io":
        return "Docker Hub's key is docker.io or https://index.docker.io/v1/"
    if host == reference.namespace:
        return f"its path is no prefix of the image's name, {own}, or another key is preferred"
    return f"its key names another registry than the image's own name, {own}"


def _host(key: str) -> str:
    for scheme in ("https://", "http://"):
        key = key.removeprefix(scheme)
    return key.partition("/")[0]
