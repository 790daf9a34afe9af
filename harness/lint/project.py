"""All documents together, and what rules ask of them: which images, which mirrors, which files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from harness.lint.documents import Directory, Document, Node, TomlFile, TreeFile
from harness.lint.rule import Kind

__all__ = ["Image", "Project", "host_of", "namespace_of", "pod_specs"]

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Image:
    """An image that a manifest names, and the registry that its name means."""

    name: str
    registry: str
    repository: str
    """With the registry, without the tag: what kubelet compares with the keys of secrets."""
    file: Document
    node: Node


@dataclass
class Project:
    """What was given to lint."""

    documents: tuple[Document, ...] = ()
    roots: tuple[str, ...] = ()
    names: Mapping[str, bool] = field(default_factory=dict)

    def of_kind(self, kind: Kind, form: type[D]) -> Iterator[D]:
        """The documents of one kind."""
        for document in self.documents:
            if document.kind is kind and isinstance(document, form):
                yield document

    def stands_at(self, path: str) -> str | None:
        """``file`` or ``directory`` at the absolute *path*: on this machine, or in a tree that was
        given as the image of a machine's. None where nothing is known."""
        for candidate in (path, *(root + path for root in self.roots)):
            if candidate in self.names:
                return "directory" if self.names[candidate] else "file"
        return None

    @cached_property
    def images(self) -> tuple[Image, ...]:
        """The images of all pods, each with its registry; names that are none are left out."""
        return tuple(_images(self.of_kind(Kind.KUBERNETES, TreeFile)))

    @cached_property
    def image_registries(self) -> frozenset[str]:
        """The registries of :attr:`images`."""
        return frozenset(image.registry for image in self.images)

    @cached_property
    def host_directories(self) -> Mapping[str, str]:
        """Absolute path of each directory of certs.d to the registry that it is for."""
        return {
            directory.absolute: namespace_of(directory.absolute)
            for directory in self.of_kind(Kind.DIRECTORY, Directory)
        }

    @cached_property
    def mirrored(self) -> Mapping[str, frozenset[str]]:
        """Each host that stands in a hosts.toml, to the registries it stands in front of."""
        found: dict[str, set[str]] = {}
        for file in self.of_kind(Kind.HOSTS, TomlFile):
            namespace = namespace_of(posixpath.dirname(file.absolute))
            for url in file.table("host"):
                found.setdefault(host_of(url), set()).add(namespace)
        return {host: frozenset(namespaces) for host, namespaces in found.items()}

    @cached_property
    def contacted(self) -> frozenset[str]:
        """Every host that containerd may contact because of a hosts.toml."""
        found = set(self.mirrored)
        for file in self.of_kind(Kind.HOSTS, TomlFile):
            server = file.get("server")
            namespace = namespace_of(posixpath.dirname(file.absolute))
            found.add(host_of(server) if isinstance(server, str) and server else namespace)
        return frozenset(found)


def namespace_of(directory: str) -> str:
    """The registry that a directory of certs.d is for: ``reg:5000`` of ``reg_5000_`` too."""
    name = posixpath.basename(directory)
    if name.endswith("_") and name.count("_") >= 2:
        host, _, port = name[:-1].rpartition("_")
        if port.isdecimal():
            return f"{host}:{port}"
    return name


def host_of(url: str) -> str:
    """Host and port of a URL, or of a host written without a scheme."""
    rest = url.partition("://")[2] if "://" in url else url
    return rest.partition("/")[0].rpartition("@")[2]


def pod_specs(root: Node) -> Iterator[Node]:
    """The ``spec`` of each pod in a manifest: a Pod's, a template's, a CronJob's, a List's."""
    kind = root.string("kind")
    if kind == "List":
        for item in root.list("items"):
            yield from pod_specs(item)
        return
    ways: Mapping[str, tuple[str, ...]] = {
        "Pod": ("spec",),
        "PodTemplate": ("template", "spec"),
        "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    }
    spec = root.get(*ways.get(kind, ("spec", "template", "spec")))
    if spec is not None:
        yield spec


def containers(spec: Node) -> Iterator[Node]:
    """The containers of a pod, those that run first included."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.list(key)


def _images(files: Iterable[TreeFile]) -> Iterator[Image]:
    from harness.mirrors.reference import InvalidReference, normalised_reference

    for file in files:
        for root in file.roots:
            for spec in pod_specs(root):
                for container in containers(spec):
                    node = container.get("image")
                    if node is None or not node.text:
                        continue
                    try:
                        found = normalised_reference(node.text)
                    except InvalidReference:
                        continue
                    whole = f"{found.namespace}/{found.repository}"
                    yield Image(node.text, found.namespace, whole, file, node)
