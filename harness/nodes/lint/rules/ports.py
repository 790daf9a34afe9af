"""Ports that two containers use: of a pod, of a host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.nodes.lint.containers import Container, Port, compose_containers, of_pod
from harness.nodes.lint.documents import TreeFile
from harness.nodes.lint.finding import quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.kubernetes import Pod, cluster_of
from harness.nodes.lint.project import Project
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.KUBERNETES)

_ANY = {"", "0.0.0.0", "::"}


def _same_address(one: str, other: str) -> bool:
    return one == other or bool({one, other} & _ANY)


class _Taken:
    """The owners of ports."""

    def __init__(self) -> None:
        self._ports: dict[tuple[int, str], list[tuple[str, str]]] = {}

    def holder(self, number: int, port: Port) -> str | None:
        """The owner of the port on the same address; None if it is free."""
        owners = self._ports.get((number, port.protocol), [])
        return next((o for address, o in owners if _same_address(address, port.address)), None)

    def take(self, number: int, port: Port, owner: str) -> str | None:
        """Like :meth:`holder`, and add *owner* to the owners."""
        first = self.holder(number, port)
        owners = self._ports.setdefault((number, port.protocol), [])
        if not any(address == port.address for address, _ in owners):
            owners.append((port.address, owner))
        return first


@rules("PPK020")
def one_port_in_a_pod(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for pod in context.cluster.pods_in(file):
        taken: dict[tuple[int, str], Container] = {}
        for container in of_pod(pod, context.project):
            for port in container.ports:
                first = taken.setdefault((port.target, port.protocol), container)
                if first is not container:
                    what = f"{quoted(first.name)} uses port {port.target} too"
                    yield Hit(port.node.spot, what)


@rules("PPK021")
def one_port_of_the_node(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    found = context.project.once("ports of nodes", lambda: _node_ports(context.project))
    yield from found.get(id(file), ())


def _node_ports(project: Project) -> dict[int, list[Hit]]:
    """The hits, by the ``id`` of the file."""
    found: dict[int, list[Hit]] = {}
    taken = _Taken()
    for pod in cluster_of(project).pods:
        for container in of_pod(pod, project):
            for port in container.ports:
                if not port.published or _conflicts(pod, port):
                    continue
                owner = f"{pod.owner.kind} {pod.owner.name}"
                first = taken.take(port.published, port, owner)
                if first is not None and first != owner:
                    what = f"{quoted(first)} already uses port {port.published} of the node"
                    found.setdefault(id(pod.owner.file), []).append(Hit(port.node.spot, what))
    return found


def _conflicts(pod: Pod, port: Port) -> bool:
    return pod.on_host_network and port.published != port.target


@rules("PPK022")
def mapped_on_host_network(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for pod in context.cluster.pods_in(file):
        for container in of_pod(pod, context.project):
            for port in container.ports:
                if _conflicts(pod, port):
                    what = f"hostPort {port.published} for {port.target}, with hostNetwork"
                    yield Hit(port.node.spot, what)


@rules("PPK023")
def replicas_on_one_port(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for pod in context.cluster.pods_in(file):
        replicas = pod.owner.node.string("spec", "replicas")
        if pod.owner.kind not in {"Deployment", "StatefulSet", "ReplicaSet"}:
            continue
        ports = [port for c in of_pod(pod, context.project) for port in c.ports if port.published]
        if ports and replicas.isdecimal() and len(replicas) < 9 and int(replicas) > 1:
            yield Hit(ports[0].node.spot, f"{replicas} replicas need port {ports[0].published}")


@rules("PPM002", kinds=(Kind.COMPOSE,))
def one_port_of_the_host(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    always, by_profile = _Taken(), dict[str, _Taken]()
    # Services of different profiles may never run together; those without one always run.
    services = [(_profiles(c), c) for c in compose_containers(file, context.project)]
    for profiles, container in sorted(services, key=lambda pair: bool(pair[0])):
        taken = by_profile.setdefault(profiles, _Taken()) if profiles else always
        for port in _published(container):
            first = always.holder(port.published, port)
            first = taken.take(port.published, port, container.name) or first
            if first is not None:
                whose = "this service" if first == container.name else quoted(first)
                yield Hit(port.node.spot, f"{whose} already uses port {port.published}")


def _profiles(container: Container) -> str:
    return " ".join(sorted(item.text for item in container.node.list("profiles")))


def _published(container: Container) -> Iterable[Port]:
    on_host = container.node.string("network_mode") == "host"
    return () if on_host else (port for port in container.ports if port.published)
