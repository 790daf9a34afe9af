"""Containers of Kubernetes and compose, in one form."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.project import Pod, Project

_PORT = re.compile(
    r"(?:(?P<address>\[[^\]]*\]|[^:]*[^:\d-][^:]*):)?(?:(?P<published>\d*(?:-\d+)?):)?"
    r"(?P<target>\d+(?:-\d+)?)"
    r"(?:/(?P<protocol>\w+))?"
)
_MOST_OF_A_RANGE = 1000
_MOST_PORTS = 5000  # of one service, its ranges written out
_LONGEST_PORT = 100
_ANY = {"", "0.0.0.0", "::"}


@dataclass(frozen=True)
class Variable:
    """An environment variable. ``value`` is None if it comes from elsewhere: from ``valueFrom``, or
    in compose from a value with ``$``."""

    name: str
    value: str | None
    node: Node


@dataclass(frozen=True)
class Mount:
    """A mount. ``source`` is a path on the host, or a name."""

    target: str
    kind: Literal["path", "volume", "configMap", "secret", "emptyDir", "other"]
    source: str
    node: Node
    edited: Node
    """The node with the target; in compose's short form, the whole item."""
    sub_path: str = ""
    items: Mapping[str, str] | None = None
    """File names to keys of a ConfigMap or a Secret, if not all keys are mounted."""


@dataclass(frozen=True)
class Port:
    """A port of the container, and the port of the host that maps to it (0: none)."""

    target: int
    published: int
    address: str
    protocol: str
    node: Node


@dataclass(frozen=True)
class Container:
    """One container."""

    name: str
    file: TreeFile
    node: Node
    image: Node | None
    command: tuple[str, ...] = ()
    """Entry point and arguments, if they are set."""
    variables: tuple[Variable, ...] = ()
    mounts: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()

    @property
    def on_host_network(self) -> bool:
        """Whether it is a service of compose with ``network_mode: host``."""
        return self.node.string("network_mode") == "host"

    def variable(self, name: str) -> Variable | None:
        """The variable of this name; the last one wins."""
        return next((v for v in reversed(self.variables) if v.name == name), None)

    def mount_over(self, path: str) -> Mount | None:
        """The mount at *path* or at the nearest directory above it."""
        over = [m for m in self.mounts if m.target and f"{path}/".startswith(f"{m.target}/")]
        return max(over, key=lambda mount: len(mount.target), default=None)


class TakenPorts:
    """The owners of published ports."""

    def __init__(self) -> None:
        self._owners: dict[tuple[int, str], dict[str, str]] = {}
        """By port and protocol, then by address."""

    def holder(self, port: Port) -> str | None:
        """The owner of the published port on the same address; None if it is free."""
        owners = self._owners.get((port.published, port.protocol), {})
        same = (o for a, o in owners.items() if a == port.address or {a, port.address} & _ANY)
        return next(same, None)

    def take(self, port: Port, owner: str) -> str | None:
        """Like :meth:`holder`, and add *owner* to the owners."""
        first = self.holder(port)
        self._owners.setdefault((port.published, port.protocol), {}).setdefault(port.address, owner)
        return first


def _clean(path: str) -> str:
    return posixpath.normpath(path) if path else ""


def _words(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    return tuple(item.text for item in node.list()) or tuple(node.text.split())


# -- Kubernetes ---------------------------------------------------------------------------------
def pod_containers(pod: Pod, project: Project) -> Iterator[Container]:
    """The containers that run at the same time: ``containers``, and ``initContainers`` that keep
    running (sidecars). Call it by :meth:`Project.once_each`."""
    volumes = {volume.string("name"): volume for volume in pod.spec.list("volumes")}
    sidecars = (c for c in pod.spec.list("initContainers") if c.string("restartPolicy") == "Always")
    for node in (*sidecars, *pod.spec.list("containers")):
        yield Container(
            node.string("name"),
            pod.owner.file,
            node,
            node.get("image"),
            (*_words(node.get("command")), *_words(node.get("args"))),
            tuple(_variable(item) for item in node.list("env")),
            tuple(_mount(item, volumes) for item in node.list("volumeMounts")),
            tuple(_container_ports(node, on_host=pod.on_host_network)),
        )


def _variable(node: Node) -> Variable:
    value = None if node.get("valueFrom") else node.string("value")
    return Variable(node.string("name"), value, node)


def _mount(node: Node, volumes: Mapping[str, Node]) -> Mount:
    volume = volumes.get(node.string("name"))
    target, sub_path = _clean(node.string("mountPath")), node.string("subPath")
    edited = node.get("mountPath") or node
    plain = Mount(target, "other", node.string("name"), node, edited, sub_path)
    if volume is None:
        return plain
    if path := volume.string("hostPath", "path"):
        return replace(plain, kind="path", source=path)
    if volume.get("emptyDir") is not None:
        return replace(plain, kind="emptyDir")
    for kind, name in (("configMap", "name"), ("secret", "secretName")):
        source = volume.get(kind)
        if source is not None:
            given = {i.string("path"): i.string("key") for i in source.list("items")}
            found = replace(plain, source=source.string(name), items=given or None)
            return replace(found, kind="configMap" if kind == "configMap" else "secret")
    return replace(plain, kind="volume")


def _container_ports(container: Node, *, on_host: bool) -> Iterator[Port]:
    for item in container.list("ports"):
        target = _number(item.string("containerPort"))
        published = _number(item.string("hostPort")) or (target if on_host else 0)
        protocol = item.string("protocol").lower() or "tcp"
        if target:
            yield Port(target, published, item.string("hostIP"), protocol, item)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0


# -- compose ------------------------------------------------------------------------------------
def compose_containers(file: TreeFile, project: Project) -> Iterator[Container]:
    """The services of a compose file; without a ``services`` key, the services of version 1 of the
    format. Call it by :meth:`Project.once_each`."""
    for root in file.roots[:1]:
        services = root.get("services") or root
        for name, node in services.items():
            if node.kind == "mapping" and (node.get("image") or node.get("build")):
                yield Container(
                    name,
                    file,
                    node,
                    node.get("image"),
                    (*_words(node.get("entrypoint")), *_words(node.get("command"))),
                    tuple(_environment(node)),
                    (*_volumes(node), *_configs(node, root)),
                    tuple(islice(_ports(node), _MOST_PORTS)),
                )


def _environment(service: Node) -> Iterator[Variable]:
    node = service.get("environment")
    if node is None:
        return
    for name, value in node.items():
        known = value.kind != "null" and "$" not in value.text
        yield Variable(name, value.text if known else None, value)
    for item in node.list():
        name, equals, text = item.text.partition("=")
        if name:
            yield Variable(name, text if equals and "$" not in text else None, item)


def _volumes(service: Node) -> Iterator[Mount]:
    for item in service.list("volumes"):
        if item.kind == "mapping":
            source, target = item.string("source"), _clean(item.string("target"))
            kind: Literal["path", "volume"] = "path" if item.string("type") == "bind" else "volume"
            yield Mount(target, kind, source, item, item.get("target") or item)
            continue
        source, colon, rest = item.text.partition(":")
        if not colon:
            yield Mount(_clean(source), "volume", "", item, item)
        else:
            kind = "path" if source.startswith(("/", ".", "~")) else "volume"
            yield Mount(_clean(rest.partition(":")[0]), kind, source, item, item)


def _configs(service: Node, root: Node) -> Iterator[Mount]:
    for item in service.list("configs"):
        name = item.string("source") if item.kind == "mapping" else item.text
        target = item.get("target")
        path = root.string("configs", name, "file")
        where = target.text if target else f"/{name}"
        yield Mount(_clean(where), "path" if path else "other", path, item, target or item)


def _ports(service: Node) -> Iterator[Port]:
    for item in service.list("ports"):
        if item.kind == "mapping":
            published, target = item.string("published"), item.string("target")
            address, protocol = item.string("host_ip"), item.string("protocol")
        else:
            match = _PORT.fullmatch(item.text[:_LONGEST_PORT])
            if match is None:
                continue
            address, published, target, protocol = (
                match[name] or "" for name in ("address", "published", "target", "protocol")
            )
        inside, outside = list(_range(target)), list(_range(published))
        if len(outside) not in {0, len(inside)}:
            continue  # docker chooses one out of a range
        for number, port in enumerate(inside):
            chosen = outside[number] if outside else 0
            yield Port(port, chosen, address.strip("[]"), protocol.lower() or "tcp", item)


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    start, end = _number(first), _number(last or first)
    return range(start, min(end, start + _MOST_OF_A_RANGE - 1) + 1) if start else range(0)
