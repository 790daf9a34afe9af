"""Which entries of the pull secrets kubelet uses for an image, and why it skips the others.

:mod:`harness.nodes.models.kubelet` makes the choice; this module explains it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from harness.nodes.explain.explanation import SecretExplained
from harness.nodes.models.kubelet import Keyring, KeyringEntry
from harness.nodes.models.reference import Reference

__all__ = ["chosen", "explained"]


def chosen(
    reference: Reference, of_pod: Iterable[KeyringEntry], of_node: Iterable[KeyringEntry]
) -> tuple[KeyringEntry, ...]:
    """The logins in the order kubelet tries them: the pod's, then the node's."""
    repository = f"{reference.namespace}/{reference.repository}"
    return (*Keyring(of_pod).lookup(repository), *Keyring(of_node).lookup(repository))


def explained(
    reference: Reference,
    entries: Sequence[KeyringEntry],
    logins: Sequence[KeyringEntry],
    contacted: Collection[str],
) -> tuple[SecretExplained, ...]:
    """Each of *entries* with the reason why it is used or not; *contacted* are the plan's hosts."""
    used = list(logins)
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
    order = f", tried {position + 1} of {count}" if count > 1 else ""
    return (
        f"its key matches the image name {reference.namespace}/{reference.repository}{order}; "
        "kubelet sends it without an address, so any host that sends a challenge gets it"
    )


def _why_not(reference: Reference, key: str, contacted: Collection[str]) -> str:
    own = f"{reference.namespace}/{reference.repository}"
    host = _host(key)
    if host in contacted and host != reference.namespace:
        return (
            f"its key names {host}, which is contacted, but kubelet compares keys with the image "
            f"name {own}: change the key to {reference.namespace}"
        )
    name, _, port = reference.namespace.partition(":")
    if port and host == name:
        return f"its key lacks the port: change it to {reference.namespace}"
    if reference.namespace == "docker.io" and host == "registry-1.docker.io":
        return "the key for Docker Hub is docker.io or https://index.docker.io/v1/"
    if host == reference.namespace:
        return f"its path is not a prefix of the image name {own}, or another key is preferred"
    return f"its key names another registry than the image name {own}"


def _host(key: str) -> str:
    for scheme in ("https://", "http://"):
        key = key.removeprefix(scheme)
    return key.partition("/")[0]
