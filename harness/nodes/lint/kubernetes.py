"""Kubernetes manifests: their objects, and which pods may use which pull secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import NamedImage, Project, image_at

__all__ = ["Cluster", "Object", "Pod", "cluster_of", "containers", "pod_spec"]

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

    @property
    def pull_secrets(self) -> tuple[tuple[str, Node], ...]:
        """``imagePullSecrets`` of a service account."""
        return _names(self.node)

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
    def pull_secrets(self) -> tuple[tuple[str, Node], ...]:
        """``imagePullSecrets``: each name with its node."""
        return _names(self.spec)

    @property
    def on_host_network(self) -> bool:
        return self.spec.string("hostNetwork") == "true"

    @cached_property
    def images(self) -> tuple[NamedImage, ...]:
        """The images of all containers; invalid names are left out."""
        found = (image_at(self.owner.file, c.get("image")) for c in containers(self.spec))
        return tuple(image for image in found if image is not None)


def _names(node: Node) -> tuple[tuple[str, Node], ...]:
    items = ((item.string("name"), item) for item in node.list("imagePullSecrets"))
    return tuple((name, item) for name, item in items if name)


def pod_spec(manifest: Node) -> Node | None:
    """The pod spec of an object."""
    return manifest.get(*_POD_SPECS.get(manifest.string("kind"), ("spec", "template", "spec")))


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
        found = ((object_, pod_spec(object_.node)) for object_ in self.objects)
        return [Pod(object_, spec) for object_, spec in found if spec is not None]

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
        return frozenset(name for account in accounts for name, _ in account.pull_secrets)

    def secret_names(self, pod: Pod) -> list[str]:
        """The pull secrets that *pod* gets: its own, or else those of its service account
        (Kubernetes' ServiceAccount admission gives them only to a pod that names none)."""
        account = pod.spec.string("serviceAccountName") or "default"
        accounts = self.named("ServiceAccount", account)
        near = (found for found in accounts if found.may_share_namespace(pod.owner))
        theirs = [name for found in near for name, _ in found.pull_secrets]
        return [name for name, _ in pod.pull_secrets] or theirs

    @cached_property
    def _users(self) -> Mapping[str, list[Pod]]:
        return _grouped((name, pod) for pod in self.pods for name in set(self.secret_names(pod)))

    def users(self, secret: Object) -> list[Pod]:
        """The pods that get *secret*."""
        named = self._users.get(secret.name, [])
        return [pod for pod in named if pod.owner.may_share_namespace(secret)]


K = TypeVar("K")
V = TypeVar("V")


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
