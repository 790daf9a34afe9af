"""Containers that run distribution's registry: which release, and with which configuration."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.nodes.lint.containers import Container, Mount, compose_containers, of_pod
from harness.nodes.lint.documents import Node, TextFile, TreeFile
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.kubernetes import cluster_of
from harness.nodes.lint.project import Project
from harness.nodes.lint.rule import RuleContext
from harness.nodes.models.reference import InvalidReference, normalised_reference

if TYPE_CHECKING:
    from reference_registry.config.file import ReadConfig

__all__ = ["PATHS", "RegistryContainer", "each_group", "each_registry", "port_of"]

PATHS = {"2": "/etc/docker/registry/config.yml", "3": "/etc/distribution/config.yml"}
"""What the image of each major version reads, unless its command names another
(distribution#4357, distribution-library-image#166)."""
_DEFAULT = """version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
"""
"""The relevant part of the image's own config.yml."""
_ADDRESSES = frozenset({"REGISTRY_HTTP_ADDR", "REGISTRY_HTTP_DEBUG_ADDR"})
_TAG = re.compile(r"v?(?P<major>[23])(?:\.(?P<minor>\d+))?(?P<rest>[.-].*)?")


def release_of(image: str) -> tuple[str, str] | None:
    """The series of *image* (2.8, 3.0 or 3.1), and the path of its configuration; None for other
    images. ``latest`` is 3 since April 2025."""
    try:
        found = normalised_reference(image)
    except InvalidReference:
        return None
    name = found.repository.split("/")
    if name[-2:] not in (["library", "registry"], ["distribution", "distribution"]) and name != [
        "registry"
    ]:
        return None
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2] or "latest"
    if tag == "latest":
        return None if "@" in image else ("3.1", PATHS["3"])
    match = _TAG.fullmatch(tag)
    if match is None:
        return None
    if match["major"] == "2":
        return "2.8", PATHS["2"]
    before = "alpha" in (match["rest"] or "")  # the path is another since the betas
    return "3.0" if match["minor"] == "0" else "3.1", PATHS["2" if before else "3"]


@dataclass(frozen=True)
class RegistryContainer:
    """A container that serves a registry."""

    container: Container
    series: str
    default_path: str
    project: Project

    @property
    def image(self) -> Node:
        """The node with the image's name."""
        return self.container.image or self.container.node

    @property
    def named_path(self) -> str:
        """The configuration path in the command; empty if there is none."""
        words = [w for w in self.container.command if w.endswith((".yml", ".yaml"))]
        return posixpath.normpath(words[-1]) if words else ""

    @property
    def path(self) -> str:
        """The path of the configuration; empty if a custom command does not show it."""
        if self.named_path:
            return self.named_path
        variable = self.container.variable("REGISTRY_CONFIGURATION_PATH")
        if self.container.command:
            return variable.value or "" if variable else ""
        return self.default_path

    @property
    def mount(self) -> Mount | None:
        """The mount at :attr:`path`."""
        return self.container.mount_over(self.path) if self.path else None

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables whose values are known."""
        given = self.container.variables
        return {v.name: v.value for v in given if v.value is not None}

    @cached_property
    def text(self) -> str | None:
        """The text of the mounted configuration, if lint has the file, or of the image's own."""
        if self.mount is not None:
            return _text_of(self.mount, self)
        return _DEFAULT if self.path == self.default_path else None

    @cached_property
    def reading(self) -> ReadConfig | None:
        """The configuration as the release reads it, the environment included."""
        return self.read(self.series, self.environment)

    def read(self, series: str, environment: Mapping[str, str]) -> ReadConfig | None:
        """The configuration as *series* would read it."""
        from reference_registry.config.file import read_text
        from reference_registry.profiles import profile_named

        if self.text is None:
            return None
        return read_text(self.text, self.path, profile_named(series), environment)

    @cached_property
    def listens_on(self) -> tuple[tuple[str, str], ...]:
        """The listeners, if they are known: key and address of each."""
        config = self.reading.attempted if self.reading else None
        unknown = {v.name for v in self.container.variables if v.value is None}
        if config is None or unknown & _ADDRESSES or self.container.node.get("envFrom"):
            return ()
        debug = config.http.debug
        both = (("http.addr", config.http.addr), ("http.debug.addr", debug.addr if debug else ""))
        return tuple((key, address) for key, address in both if port_of(address))


def port_of(address: str) -> int:
    """The port of an address in config.yml; 0 if there is none."""
    port = address.rpartition(":")[2]
    return int(port) if ":" in address and port.isdecimal() and len(port) <= 5 else 0


def _text_of(mount: Mount, registry: RegistryContainer) -> str | None:
    below = posixpath.relpath(registry.path, mount.target)
    inside = mount.sub_path if below == "." else posixpath.join(mount.sub_path, below)
    if mount.kind == "configMap":
        key = (mount.items or {}).get(inside, inside if mount.items is None else "")
        for found in cluster_of(registry.project).named("ConfigMap", mount.source):
            node = found.node.get("data", key)
            if node is not None:
                return node.text
        return None
    if mount.kind != "path":
        return None
    source = mount.source if below == "." else posixpath.join(mount.source, below)
    file = registry.project.at_path(source, registry.container.file, TextFile)
    return file.text if file is not None and file.kind is Kind.REGISTRY else None


def each_group(file: TreeFile, context: RuleContext) -> tuple[tuple[RegistryContainer, ...], ...]:
    """The containers of *file* that serve a registry, grouped by network: those of a pod, or a
    single service."""
    project = context.project
    return project.once(("registries", id(file)), lambda: tuple(_grouped(file, project)))


def _grouped(file: TreeFile, project: Project) -> Iterator[tuple[RegistryContainer, ...]]:
    groups = [of_pod(pod, project) for pod in cluster_of(project).pods_in(file)]
    if file.kind is Kind.COMPOSE:
        groups += [(container,) for container in compose_containers(file, project)]
    for group in groups:
        found = []
        for container in group:
            release = release_of(container.image.text) if container.image else None
            if release and "garbage-collect" not in container.command:
                found.append(RegistryContainer(container, *release, project))
        if found:
            yield tuple(found)


def each_registry(file: TreeFile, context: RuleContext) -> Iterator[RegistryContainer]:
    """All containers of *file* that serve a registry."""
    for group in each_group(file, context):
        yield from group
