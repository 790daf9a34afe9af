"""Ports that two containers want: of one pod, of one host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.nodes.lint.containers import Container, Port, of_compose, of_pod
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
    """Who has which port."""

    def __init__(self) -> None:
        self._ports: dict[tuple[int, str], list[tuple[str, str]]] = {}

    def holder(self, number: int, port: Port) -> str | None:
        """Who has it already, on the same address; None where it is free."""
        owners = self._ports.get((number, port.protocol), [])
        return next((o for address, o in owners if _same_address(address, port.address)), None)

    def take(self, number: int, port: Port, owner: str) -> str | None:
        """As :meth:`holder`; from then on *owner* has it too."""
        first = self.holder(number, port)
        owners = self._ports.setdefault((number, port.protocol), [])
        if not any(address == port.address for address, _ in owners):
            owners.append((port.address, owner))
        return first


@rules("PPK020", "error")
def one_port_in_a_pod(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Two containers of a pod on one port.

    why: the containers of a pod share a network: the second one to listen exits with: address
        already in use, and is restarted again and again
    fix: give one of them another port, in its own configuration too, or its own pod
    source: https://kubernetes.io/docs/concepts/workloads/pods/#pod-networking
    """
    for pod in context.cluster.pods_in(file):
        taken: dict[tuple[int, str], Container] = {}
        for container in of_pod(pod, context.project):
            for port in container.ports:
                first = taken.setdefault((port.target, port.protocol), container)
                if first is not container:
                    what = f"{quoted(first.name)} uses port {port.target} too"
                    yield Hit(port.node.spot, what)


@rules("PPK021", "warning")
def one_port_of_the_node(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Two pods on one port of the node.

    why: a node gives its port to one pod: the other one stays Pending, or exits with: address
        already in use
    fix: choose another hostPort, or use a Service instead
    source: https://kubernetes.io/docs/concepts/configuration/overview/#services (hostPort);
        https://kubernetes.io/docs/concepts/services-networking/
    """
    found = context.project.once("ports of nodes", lambda: _node_ports(context.project))
    yield from found.get(id(file), ())


def _node_ports(project: Project) -> dict[int, list[Hit]]:
    """What there is to say, by the ``id`` of the file."""
    found: dict[int, list[Hit]] = {}
    taken = _Taken()
    for pod in cluster_of(project).pods:
        for container in of_pod(pod, project):
            for port in container.ports:
                if not port.published or _is_at_odds(pod, port):
                    continue
                owner = f"{pod.owner.kind} {pod.owner.name}"
                first = taken.take(port.published, port, owner)
                if first is not None and first != owner:
                    what = f"{quoted(first)} already uses port {port.published} of the node"
                    found.setdefault(id(pod.owner.file), []).append(Hit(port.node.spot, what))
    return found


def _is_at_odds(pod: Pod, port: Port) -> bool:
    return pod.on_host_network and port.published != port.target


@rules("PPK022", "error")
def mapped_on_host_network(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """hostPort together with hostNetwork.

    why: a pod on the host network has no ports of its own to map: the API server rejects a hostPort
        that differs from the containerPort
    fix: remove hostPort, and let the container listen on that port
    source: Kubernetes pkg/apis/core/validation (validateHostNetwork)
    """
    for pod in context.cluster.pods_in(file):
        for container in of_pod(pod, context.project):
            for port in container.ports:
                if _is_at_odds(pod, port):
                    what = f"hostPort {port.published} for {port.target}, with hostNetwork"
                    yield Hit(port.node.spot, what)


@rules("PPK023", "warning")
def replicas_on_one_port(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """More replicas than ports.

    why: every replica needs the same port of its node: two never run on one node, and a rolling
        update hangs if no node is left
    fix: use a DaemonSet, or strategy Recreate with no more replicas than nodes
    source: https://kubernetes.io/docs/concepts/configuration/overview/ (hostPort)
    """
    for pod in context.cluster.pods_in(file):
        replicas = pod.owner.node.string("spec", "replicas")
        if pod.owner.kind not in {"Deployment", "StatefulSet", "ReplicaSet"}:
            continue
        ports = [port for c in of_pod(pod, context.project) for port in c.ports if port.published]
        if ports and replicas.isdecimal() and len(replicas) < 9 and int(replicas) > 1:
            yield Hit(ports[0].node.spot, f"{replicas} replicas need port {ports[0].published}")


@rules("PPM002", "error", kinds=(Kind.COMPOSE,))
def one_port_of_the_host(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Two services on one port of the host.

    why: the second one does not start: port is already allocated
    fix: publish one of them on another port
    source: https://docs.docker.com/reference/compose-file/services/#ports
    """
    always, by_profile = _Taken(), dict[str, _Taken]()
    # Services of different profiles need not run at the same time; those of none always do.
    services = [(_profiles(c), c) for c in of_compose(file, context.project)]
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
