"""Logins, and the images that they could be for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from harness.nodes.lint.documents import TreeFile
from harness.nodes.lint.kubernetes import cluster_of
from harness.nodes.lint.logins import Login, Logins, logins_in
from harness.nodes.lint.project import Image, Project
from harness.nodes.lint.rule import RuleContext

__all__ = ["Judged", "host_in", "hostname", "judged_in"]

_MOST_GLOBS = 100  # of one place; each is compared with every image


@dataclass
class Judged:
    """The entries of one place, and the images that they could be for."""

    logins: Logins
    project: Project

    @cached_property
    def images(self) -> tuple[Image, ...]:
        """Of a Secret, those of the pods that name it, or all if none does; of a file, all, unless
        it is docker's own."""
        secret, cluster = self.logins.secret, cluster_of(self.project)
        users = cluster.users(secret) if secret is not None else ()
        if users:
            return tuple(image for pod in users for image in pod.images)
        if secret is None:
            by_docker = "/.docker/" in self.logins.file.absolute
            return () if by_docker else cluster.images
        pods = (pod for pod in cluster.pods if pod.owner.may_share(secret))
        return tuple(image for pod in pods for image in pod.images)

    @cached_property
    def _repositories(self) -> dict[str, list[Image]]:
        """The images by host, without the port."""
        found: dict[str, list[Image]] = {}
        for image in {image.repository: image for image in self.images}.values():
            found.setdefault(hostname(image.registry), []).append(image)
        return found

    def near(self, host: str) -> list[Image]:
        """The images of a host, whatever their port."""
        return self._repositories.get(host, [])

    def matched(self, entry: Login) -> bool:
        """Whether kubelet tries the entry for any of the images."""
        from harness.nodes.models.kubelet import Keyring, KeyringEntry

        host = hostname(host_in(entry.key))
        candidates: Iterable[Image] = self.near(host)
        if host == "index.docker.io":
            candidates = self.near("docker.io")
        if "*" in entry.key:
            candidates = (image for images in self._repositories.values() for image in images)
        keyring = Keyring([KeyringEntry(entry.key)])
        return any(keyring.lookup(image.repository) for image in candidates)

    @cached_property
    def unmatched(self) -> tuple[Login, ...]:
        """The entries that kubelet tries for none of the images."""
        globs = 0
        found = []
        for entry in self.logins.all:
            globs += "*" in entry.key
            if globs <= _MOST_GLOBS and not self.matched(entry):
                found.append(entry)
        return tuple(found)

    @cached_property
    def registries(self) -> frozenset[str]:
        return frozenset(image.registry for image in self.images)

    def mirror_of(self, entry: Login) -> str:
        """The registry that images are of, and in front of which the entry's host stands as a
        mirror; empty if that is not so."""
        fronted = self.project.mirrored.get(host_in(entry.key), frozenset())
        if not self.images:
            only = self.logins.is_for_kubelet and host_in(entry.key) not in fronted
            return min(fronted - {"_default"}, default="") if only else ""
        if "_default" in fronted:
            fronted = fronted | self.registries
        return min((fronted & self.registries) - {host_in(entry.key)}, default="")

    def port_differs(self, entry: Login) -> str:
        """The registry of the same host that images are of, where only the port differs."""
        host = host_in(entry.key)
        near = {image.registry for image in self.near(hostname(host))}
        return min(near - {host}, default="") if host not in near else ""


def hostname(host: str) -> str:
    """*host* without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def host_in(key: str) -> str:
    """Host and port of an entry's name, which may be a URL."""
    for scheme in ("https://", "http://"):
        key = key.removeprefix(scheme)
    return key.partition("/")[0]


def judged_in(file: TreeFile, context: RuleContext) -> tuple[Judged, ...]:
    """The logins of *file*, with what they could be for."""
    project = context.project
    return project.once(
        ("judged", id(file)),
        lambda: tuple(Judged(logins, project) for logins in logins_in(file, context)),
    )
