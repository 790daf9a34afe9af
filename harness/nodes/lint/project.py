"""All documents together: which images, mirrors and files there are, and which pods may use which
pull secrets."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from harness.nodes.lint.documents import Directory, Document, Node, TomlFile, TreeFile
from harness.nodes.lint.kinds import Kind

D = TypeVar("D", bound=Document)
K = TypeVar("K")
S = TypeVar("S")
T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True)
class NamedImage:
    """The registry of an image, and its repository: with the registry, without the tag, as kubelet
    compares it with the keys of secrets."""

    registry: str
    repository: str


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

    def once_each(self, make: Callable[[S, Project], Iterable[T]], subject: S) -> tuple[T, ...]:
        """What *make* yields for *subject* and this project, cached."""
        return self.once((make, id(subject)), lambda: tuple(make(subject, self)))

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

    def kind_at(self, path: str, beside: Document | None = None) -> str | None:
        """``file`` or ``directory`` at *path*, absolute or relative to the file *beside*: on this
        machine, or in a directory on the command line that is a copy of a machine's files. None if
        unknown."""
        path = _joined(beside, path) if beside else path
        for candidate in (path, *(root + path for root in self.roots)):
            if candidate in self.names:
                return "directory" if self.names[candidate] else "file"
        return None

    @cached_property
    def host_directories(self) -> frozenset[str]:
        """The absolute paths of the directories of certs.d."""
        return frozenset(d.absolute for d in self.of_kind(Kind.DIRECTORY, Directory))

    @cached_property
    def named(self) -> frozenset[str]:
        """The registries that have a directory in certs.d."""
        return frozenset(map(namespace_of, self.host_directories))

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


def image_at(node: Node | None) -> NamedImage | None:
    """The image that *node* names; None if that is not a valid name."""
    from harness.nodes.models.reference import InvalidReference, normalised_reference

    try:
        found = normalised_reference(node.text if node else "")
    except InvalidReference:
        return None
    return NamedImage(found.namespace, f"{found.namespace}/{found.repository}")


# -- Kubernetes ---------------------------------------------------------------------------------
_POD_SPECS: Mapping[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
"""The path of the pod spec by kind; in all other kinds it is ``spec.template.spec``."""
_KEYS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True)
class Object:
    """One object of a manifest; those of a List are objects of their own."""

    file: TreeFile
    node: Node

    @property
    def kind(self) -> str:
        return self.node.string("kind")

    @property
    def name(self) -> str:
        return self.node.string("metadata", "name")

    @property
    def namespace(self) -> str:
        """Empty if the manifest does not set it."""
        return self.node.string("metadata", "namespace")

    def holds(self, key: str) -> bool:
        """Whether a Secret has this key."""
        return any(self.node.get(section, key) for section in ("data", "stringData"))

    def may_share_namespace(self, other: Object) -> bool:
        """Whether both can be in one namespace."""
        return not (self.namespace and other.namespace) or self.namespace == other.namespace


@dataclass(frozen=True)
class Pod:
    """A pod, or the template of pods."""

    owner: Object
    spec: Node

    @property
    def on_host_network(self) -> bool:
        return self.spec.string("hostNetwork") == "true"

    @cached_property
    def images(self) -> tuple[NamedImage, ...]:
        """The images of all containers; invalid names are left out."""
        found = (image_at(c.get("image")) for c in containers(self.spec))
        return tuple(image for image in found if image is not None)


def pull_secrets(node: Node) -> tuple[tuple[str, Node], ...]:
    """``imagePullSecrets`` of a pod spec or a service account: each name with its node."""
    items = ((item.string("name"), item) for item in node.list("imagePullSecrets"))
    return tuple((name, item) for name, item in items if name)


def containers(spec: Node) -> Iterator[Node]:
    """The containers of a pod, including init and ephemeral containers."""
    for key in _KEYS:
        yield from spec.list(key)


@dataclass
class Cluster:
    """All manifests together."""

    project: Project

    @cached_property
    def objects(self) -> list[Object]:
        """Every object of every manifest, in the order of files."""
        files = self.project.of_kind(Kind.KUBERNETES, TreeFile)
        return [Object(f, node) for f in files for root in f.roots for node in _flat(root)]

    @cached_property
    def pods(self) -> list[Pod]:
        """Every pod and every template of pods."""
        paths = ((o, _POD_SPECS.get(o.kind, ("spec", "template", "spec"))) for o in self.objects)
        return [Pod(o, spec) for o, path in paths if (spec := o.node.get(*path))]

    @cached_property
    def images(self) -> list[NamedImage]:
        """The images of all pods; invalid names are left out."""
        return [image for pod in self.pods for image in pod.images]

    @cached_property
    def image_registries(self) -> frozenset[str]:
        """The registries of :attr:`images`."""
        return frozenset(image.registry for image in self.images)

    @cached_property
    def _objects_of_files(self) -> Mapping[int, list[Object]]:
        return _grouped((id(object_.file), object_) for object_ in self.objects)

    def objects_in(self, file: TreeFile) -> list[Object]:
        """The objects in *file*."""
        return self._objects_of_files.get(id(file), [])

    @cached_property
    def _pods_of_files(self) -> Mapping[int, list[Pod]]:
        return _grouped((id(pod.owner.file), pod) for pod in self.pods)

    def pods_in(self, file: TreeFile) -> list[Pod]:
        """The pods in *file*."""
        return self._pods_of_files.get(id(file), [])

    @cached_property
    def _by_name(self) -> Mapping[tuple[str, str], list[Object]]:
        return _grouped(((object_.kind, object_.name), object_) for object_ in self.objects)

    def named(self, kind: str, name: str) -> list[Object]:
        """The objects of this kind and name, in any namespace."""
        return self._by_name.get((kind, name), [])

    @cached_property
    def account_secrets(self) -> frozenset[str]:
        """The pull secrets that service accounts name."""
        accounts = (object_ for object_ in self.objects if object_.kind == "ServiceAccount")
        return frozenset(name for account in accounts for name, _ in pull_secrets(account.node))

    def secret_names(self, pod: Pod) -> list[str]:
        """The pull secrets that *pod* gets: its own, or else those of its service account
        (Kubernetes' ServiceAccount admission gives them only to a pod that names none)."""
        account = pod.spec.string("serviceAccountName") or "default"
        accounts = self.named("ServiceAccount", account)
        near = (found for found in accounts if found.may_share_namespace(pod.owner))
        theirs = [name for found in near for name, _ in pull_secrets(found.node)]
        return [name for name, _ in pull_secrets(pod.spec)] or theirs

    @cached_property
    def _users(self) -> Mapping[str, list[Pod]]:
        return _grouped((name, pod) for pod in self.pods for name in set(self.secret_names(pod)))

    def users(self, secret: Object) -> list[Pod]:
        """The pods that get *secret*."""
        named = self._users.get(secret.name, [])
        return [pod for pod in named if pod.owner.may_share_namespace(secret)]


def _grouped(pairs: Iterable[tuple[K, V]]) -> Mapping[K, list[V]]:
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def cluster_of(project: Project) -> Cluster:
    """The Kubernetes manifests of *project*."""
    return project.once("cluster", lambda: Cluster(project))


def _flat(root: Node) -> Iterator[Node]:
    if root.string("kind").endswith("List"):
        for item in root.list("items"):
            yield from _flat(item)
    else:
        yield root
