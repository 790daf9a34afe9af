"""Containers that run the registry, in Kubernetes or compose."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.documents import Node
from harness.nodes.lint.finding import Hit, KeyEdit, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.registry_containers import (
    PATHS,
    RegistryContainer,
    each_group,
    each_registry,
    port_of,
)
from harness.nodes.lint.rule import RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.KUBERNETES, Kind.COMPOSE)

_WITHOUT_EFFECT = frozenset({"unknown-variable", "no-effect"})
_LOOPBACK = ("127.", "localhost:", "[::1]:")


@rules("PPW001", "PPW002", "PPW003", each=each_registry)
def mounts(registry: RegistryContainer, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    mount, wanted = registry.mount, registry.default_path
    if mount is None:
        for path in set(PATHS.values()) - {wanted} if not registry.container.command else ():
            other = registry.container.mount_over(path)
            if other and other.target in {path, posixpath.dirname(path)}:
                target = wanted if other.target == path else posixpath.dirname(wanted)
                text = other.edited.text.replace(other.target, target, 1)
                edit = KeyEdit("set", other.edited.path, text)
                what = f"{registry.series} does not read {path}"
                yield "PPW001", other.edited.hit(what, edit, fix=f"mount it at {target}")
        return
    source = quoted(mount.source)
    whole = mount.target == registry.path and not mount.sub_path
    if whole and mount.kind in {"configMap", "secret"}:
        what = f"{mount.kind} {source} becomes the directory {mount.target}"
        yield "PPW002", mount.edited.hit(what)
    found = context.cluster.named("ConfigMap", mount.source) if mount.kind == "configMap" else ()
    if found and not whole and registry.text is None:
        keys = ", ".join(k for o in found for k, _ in (o.node.get("data") or o.node).items())
        what = f"ConfigMap {source} has no {registry.path}, only {keys[:80]}"
        yield "PPW003", mount.node.hit(what)


@rules("PPW004", "PPW005", "PPW006", "PPW007", "PPW008", each=each_registry)
def variables(registry: RegistryContainer, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    container, reading = registry.container, registry.reading
    # Without the file, only the problems of the variables themselves are known.
    for problem in reading.problems if reading else ():
        variable = container.variable(problem.place.source)
        if problem.place.line is not None or not variable or problem.what == "not available here":
            continue  # the last is the reference registry's own limit
        said = f"{variable.name}: {problem.key}: {problem.what} [{registry.series}]"
        if problem.rule in _WITHOUT_EFFECT:
            yield "PPW004", variable.node.hit(said, fix=problem.fix)
        if problem.exit_code is not None:
            yield "PPW005", variable.node.hit(said, fix=problem.fix)
    written = registry.read(registry.series, {}) if registry.mount else None
    for variable in container.variables if written else ():
        key = variable.name.removeprefix("REGISTRY_").replace("_", ".").lower()
        place = written.places.get(key) if written else None
        if variable.name.startswith("REGISTRY_") and place is not None and "." in key:
            where = f"{posixpath.basename(place.source)}:{place.line}"
            yield "PPW006", variable.node.hit(f"{variable.name} overrides {where}")
    proxy = container.variable("REGISTRY_PROXY_REMOTEURL")
    if proxy and written and written.attempted and "proxy" not in written.places:
        what = f"{proxy.name} with a configuration that has no proxy section"
        yield "PPW007", proxy.node.hit(what)
    path = container.variable("REGISTRY_CONFIGURATION_PATH")
    if path and path.value and registry.path != posixpath.normpath(path.value):
        what = f"{registry.path} is read, not {quoted(path.value)}"
        yield "PPW008", path.node.hit(what)


@rules("PPW009", each=each_registry)
def of_another_release(registry: RegistryContainer, context: RuleContext) -> Iterator[Hit]:
    other = "3.1" if registry.series == "2.8" else "2.8"
    here, there = registry.read(registry.series, {}), registry.read(other, {})
    if registry.mount and here and there:
        unknown = {p.key for p in there.problems}
        keys = [p.key for p in here.problems if p.key not in unknown]
        if keys:
            name = quoted(registry.image.text)
            yield registry.image.hit(f"{name} does not support {', '.join(keys[:5])}")


@rules("PPW012", "PPW015", each=each_registry)
def listeners(registry: RegistryContainer, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    listening = {key: port_of(address) for key, address in registry.listens_on}
    container = registry.container
    for port in container.ports if "http.addr" in listening else ():
        if port.published and port.protocol == "tcp" and port.target not in listening.values():
            said = " and ".join(f"{key} is {address}" for key, address in registry.listens_on)
            yield "PPW012", port.node.hit(f"{port.target} is published, and {said}")
    reachable = container.file.kind is Kind.COMPOSE or bool(container.ports)
    for key, address in registry.listens_on:
        local = key == "http.addr" and address.startswith(_LOOPBACK)
        if local and reachable and not container.on_host_network:
            yield "PPW015", registry.image.hit(f"{key} is {address}")


_CLUSTER = (Kind.KUBERNETES,)


@rules("PPW010", "PPW011", "PPW014", each=each_registry, kinds=_CLUSTER)
def in_a_cluster(registry: RegistryContainer, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    container, reading = registry.container, registry.reading
    places = reading.places if reading else {}
    if reading and reading.attempted and "storage.filesystem" in places:
        root = str(reading.attempted.storage.rootdirectory)
        mount = container.mount_over(root)
        if mount is None:
            yield "PPW010", registry.image.hit(f"nothing is mounted at {root}")
        elif mount.kind == "emptyDir":
            yield "PPW010", mount.edited.hit(f"{root} is on an emptyDir")
    listening = {str(port_of(address)) for _, address in registry.listens_on}
    ports = container.node.list("ports")
    names = {port.string("name"): port.string("containerPort") for port in ports}
    for name, probe in _probes(container.node):
        path, port = probe.get("path"), probe.get("port")
        headers = {h.string("name").lower() for h in probe.list("httpHeaders")}
        asks = path and path.text.startswith("/v2") and "authorization" not in headers
        if path and asks and "auth" in places:
            what = f"{name} requests {quoted(path.text)}, which requires a login"
            yield "PPW011", path.hit(what)
        number = names.get(port.text, port.text) if port else ""
        if port and listening and number.isdecimal() and number not in listening:
            others = ", ".join(sorted(listening))
            what = f"{name} uses port {number}; the registry listens on {others}"
            yield "PPW014", port.hit(what)


def _probes(container: Node) -> Iterator[tuple[str, Node]]:
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(name, "httpGet"):
            yield name, probe


@rules("PPW013", each=each_group, kinds=_CLUSTER)
def one_port_for_two(group: tuple[RegistryContainer, ...], context: RuleContext) -> Iterator[Hit]:
    taken: dict[int, str] = {}
    for registry in group:
        for key, address in registry.listens_on:
            first = taken.setdefault(port_of(address), registry.container.name)
            if first != registry.container.name:
                what = f"{key} is {address}, where {quoted(first)} already listens"
                yield registry.image.hit(what)
