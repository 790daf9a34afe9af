"""All documents together: which images, mirrors and files there are."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from harness.nodes.lint.documents import Directory, Document, Node, TomlFile
from harness.nodes.lint.kinds import Kind

__all__ = ["NamedImage", "Project", "host_of", "image_at", "namespace_of"]

D = TypeVar("D", bound=Document)
T = TypeVar("T")


@dataclass(frozen=True)
class NamedImage:
    """An image in a manifest, and the registry that it comes from."""

    name: str
    registry: str
    repository: str
    """With the registry, without the tag: kubelet compares it with the keys of secrets."""
    file: Document
    node: Node


@dataclass
class Project:
    """The documents that lint checks."""

    documents: tuple[Document, ...] = ()
    roots: tuple[str, ...] = ()
    names: Mapping[str, bool] = field(default_factory=dict)
    _known: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def with_documents(self, changed: Iterable[Document]) -> Project:
        """This project with *changed* in place of the documents of the same files."""
        new = {document.absolute: document for document in changed}
        documents = tuple(new.get(d.absolute, d) for d in self.documents)
        return Project(documents, self.roots, self.names)

    def once(self, name: object, make: Callable[[], T]) -> T:
        """The result of *make*, cached under *name*: for what rules would otherwise compute for
        each of many documents."""
        if name not in self._known:
            self._known[name] = make()
        found: T = self._known[name]
        return found

    def of_kind(self, kind: Kind, form: type[D]) -> Iterator[D]:
        """The documents of one kind."""
        for document in self.documents:
            if document.kind is kind and isinstance(document, form):
                yield document

    def at_path(self, path: str, beside: Document, form: type[D]) -> D | None:
        """The document at *path*, which a file names: relative to that file, on this machine, or in
        a directory on the command line that is a copy of a machine's files."""
        for place in (_joined(beside, path), *(root + path for root in self.roots)):
            found = self._by_path.get(place)
            if isinstance(found, form):
                return found
        return None

    @cached_property
    def _by_path(self) -> Mapping[str, Document]:
        return {document.absolute: document for document in self.documents}

    def kind_beside(self, path: str, beside: Document) -> str | None:
        """Like :meth:`kind_at`, for a path relative to the file *beside*."""
        return self.kind_at(_joined(beside, path))

    def kind_at(self, path: str) -> str | None:
        """``file`` or ``directory`` at the absolute *path*: on this machine, or in a directory on
        the command line that is a copy of a machine's files. None if unknown."""
        for candidate in (path, *(root + path for root in self.roots)):
            if candidate in self.names:
                return "directory" if self.names[candidate] else "file"
        return None

    @cached_property
    def host_directories(self) -> Mapping[str, str]:
        """The absolute path of each directory of certs.d, and its registry."""
        return {
            directory.absolute: namespace_of(directory.absolute)
            for directory in self.of_kind(Kind.DIRECTORY, Directory)
        }

    @cached_property
    def named(self) -> frozenset[str]:
        """The registries that have a directory in certs.d."""
        return frozenset(self.host_directories.values())

    @cached_property
    def mirrored(self) -> Mapping[str, frozenset[str]]:
        """Each host in a hosts.toml, and the registries that it mirrors."""
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


def _joined(beside: Document, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(beside.absolute), path))


def namespace_of(directory: str) -> str:
    """The registry of a directory of certs.d: ``reg:5000`` for ``reg_5000_`` too."""
    name = posixpath.basename(directory)
    if name.endswith("_") and name.count("_") >= 2:
        host, _, port = name[:-1].rpartition("_")
        if port.isdecimal():
            return f"{host}:{port}"
    return name


def host_of(url: str) -> str:
    """The host and port of a URL, or of a host without a scheme."""
    rest = url.partition("://")[2] if "://" in url else url
    return rest.partition("/")[0].rpartition("@")[2]


def image_at(file: Document, node: Node | None) -> NamedImage | None:
    """The image that *node* names; None if that is not a valid name."""
    from harness.nodes.models.reference import InvalidReference, normalised_reference

    if node is None or not node.text:
        return None
    try:
        found = normalised_reference(node.text)
    except InvalidReference:
        return None
    return NamedImage(
        node.text, found.namespace, f"{found.namespace}/{found.repository}", file, node
    )
