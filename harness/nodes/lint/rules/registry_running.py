"""Containers that run the registry, by Kubernetes or compose: storage, probes and ports."""

from __future__ import annotations

from collections.abc import Iterator

from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.registry_containers import RegistryContainer, each, port_of, registries
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.KUBERNETES, Kind.COMPOSE)

_LOOPBACK = ("127.", "localhost:", "[::1]:")
_PROBES = (
    "https://kubernetes.io/docs/tasks/configure-pod-container/"
    "configure-liveness-readiness-startup-probes/"
)


@rules("PPW010", "warning", kinds=(Kind.KUBERNETES,))
def storage_is_lost(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Cache without a persistent volume.

    why: cached content and its expiry times are lost with the container: after each restart
        everything is fetched again, and counts against the upstream's rate limit
    fix: mount a persistent volume at storage.filesystem.rootdirectory
    source: https://kubernetes.io/docs/concepts/storage/volumes/#emptydir
    """
    for registry in each(file, context.project):
        reading = registry.reading
        if not (reading and reading.attempted and "storage.filesystem" in reading.places):
            continue  # memory, or an object store
        root = str(reading.attempted.storage.rootdirectory)
        mount = registry.container.mount_over(root)
        if mount is None:
            yield Hit(registry.image.spot, f"nothing is mounted at {root}")
        elif mount.kind == "emptyDir":
            yield Hit(mount.edited.spot, f"{root} is on an emptyDir")


@rules("PPW011", "error", kinds=(Kind.KUBERNETES,))
def probe_needs_a_login(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Probe of a path that requires a login.

    why: /v2/ returns 401 without a login, which kubelet counts as a failure: it restarts the
        registry again and again, or sends it no traffic
    fix: probe /, or /debug/health at http.debug.addr
    source:
        https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/;
        distribution docs, about/configuration, auth
    """
    for registry in each(file, context.project):
        auth = registry.reading is not None and "auth" in registry.reading.places
        for name, probe in _probes(registry):
            path = probe.get("path")
            headers = {h.string("name").lower() for h in probe.list("httpHeaders")}
            if auth and path and path.text.startswith("/v2") and "authorization" not in headers:
                yield Hit(path.spot, f"{name} requests {quoted(path.text)}, which requires a login")


def _probes(registry: RegistryContainer) -> Iterator[tuple[str, Node]]:
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = registry.container.node.get(name, "httpGet")
        if probe is not None:
            yield name, probe


@rules("PPW012", "error")
def published_elsewhere(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Published port where the registry does not listen.

    why: connections to it are refused
    fix: publish the port of http.addr, which is 5000 unless it is set
    source: distribution docs, about/configuration, http
    """
    for registry in each(file, context.project):
        listening = {key: port_of(address) for key, address in registry.listens_on}
        for port in registry.container.ports if "http.addr" in listening else ():
            if port.published and port.protocol == "tcp" and port.target not in listening.values():
                said = " and ".join(f"{key} is {address}" for key, address in registry.listens_on)
                yield Hit(port.node.spot, f"{port.target} is published, and {said}")


@rules("PPW013", "error", kinds=(Kind.KUBERNETES,))
def one_port_for_two(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Two registries of a pod listen on one port.

    why: the containers of a pod share a network: the second one exits with: address already in use,
        and is restarted again and again
    fix: give one of them another http.addr and http.debug.addr, for instance with
        REGISTRY_HTTP_ADDR
    source: https://kubernetes.io/docs/concepts/workloads/pods/#pod-networking
    """
    for group in registries(file, context.project):
        taken: dict[int, str] = {}
        for registry in group:
            for key, address in registry.listens_on:
                first = taken.setdefault(port_of(address), registry.container.name)
                if first != registry.container.name:
                    what = f"{key} is {address}, where {quoted(first)} already listens"
                    yield Hit(registry.image.spot, what)


@rules("PPW014", "error", kinds=(Kind.KUBERNETES,))
def probe_elsewhere(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Probe of a port where the registry does not listen.

    why: the probe always fails: kubelet restarts the registry again and again, or sends it no
        traffic
    fix: use the port of http.addr, or of http.debug.addr for /debug/health
    source:
        https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/
    """
    for registry in each(file, context.project):
        listening = {str(port_of(address)) for _, address in registry.listens_on}
        ports = registry.container.node.list("ports")
        names = {p.string("name"): p.string("containerPort") for p in ports}
        for name, probe in _probes(registry):
            port = probe.get("port")
            asked = names.get(port.text, port.text) if port else ""
            if port and listening and asked.isdecimal() and asked not in listening:
                others = ", ".join(sorted(listening))
                what = f"{name} uses port {asked}; the registry listens on {others}"
                yield Hit(port.spot, what)


@rules("PPW015", "error")
def loopback(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Registry that listens only inside its container.

    why: 127.0.0.1 of a container cannot be reached from outside
    fix: write only the port, such as :5000
    source: distribution docs, about/configuration, http
    """
    for group in registries(file, context.project):
        for registry in group:
            on_host = registry.container.node.string("network_mode") == "host"
            alone = file.kind is Kind.COMPOSE or bool(registry.container.ports)
            for key, address in registry.listens_on:
                if key == "http.addr" and address.startswith(_LOOPBACK) and alone and not on_host:
                    yield Hit(registry.image.spot, f"{key} is {address}")
