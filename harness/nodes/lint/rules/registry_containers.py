"""Containers that run the registry, in Kubernetes or compose."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.containers import Mount
from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Edit, SetValue, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.registry_containers import (
    PATHS,
    RegistryContainer,
    each,
    port_of,
    registries,
)
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.KUBERNETES, Kind.COMPOSE)

_WITHOUT_EFFECT = frozenset({"unknown-variable", "no-effect"})


@rules("PPW001", fixable=True)
def mounted_elsewhere(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for registry in each(file, context.project):
        if registry.container.command or registry.mount is not None:
            continue
        wanted = registry.default_path
        for path in set(PATHS.values()) - {wanted}:
            mount = registry.container.mount_over(path)
            if mount is None or mount.target not in {path, posixpath.dirname(path)}:
                continue
            target = wanted if mount.target == path else posixpath.dirname(wanted)
            what = f"{registry.series} does not read {path}"
            yield Hit(mount.edited.spot, what, f"mount it at {target}",
                      (_moved(mount, target),))  # fmt: skip


def _moved(mount: Mount, target: str) -> Edit:
    text = mount.edited.text
    return SetValue(mount.edited.path, text.replace(mount.target, target, 1))


@rules("PPW002")
def directory_for_file(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for registry in each(file, context.project):
        mount = registry.mount
        whole = mount is not None and mount.kind in {"configMap", "secret"} and not mount.sub_path
        if mount is not None and whole and mount.target == registry.path:
            what = f"{mount.kind} {quoted(mount.source)} becomes the directory {mount.target}"
            yield Hit(mount.edited.spot, what)


@rules("PPW003")
def no_such_key(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for registry in each(file, context.project):
        mount = registry.mount
        if mount is None or mount.kind != "configMap" or registry.text is not None:
            continue
        found = context.cluster.named("ConfigMap", mount.source)
        if found and (mount.sub_path or mount.target != registry.path):
            keys = ", ".join(k for o in found for k, _ in (o.node.get("data") or o.node).items())
            what = f"ConfigMap {quoted(mount.source)} has no {registry.path}, only {keys[:80]}"
            yield Hit(mount.node.spot, what)


@rules("PPW004")
def unknown_variable(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    yield from _variables(file, context, fatal=False)


@rules("PPW005")
def refused_variable(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    yield from _variables(file, context, fatal=True)


def _variables(file: TreeFile, context: RuleContext, *, fatal: bool) -> Iterator[Hit]:
    for registry in each(file, context.project):
        # Without the file, only the problems of the variables themselves are known.
        reading = registry.reading
        for problem in reading.problems if reading else ():
            if problem.what == "not available here":
                continue  # the reference registry's own limit
            variable = registry.container.variable(problem.place.source)
            relevant = problem.exit_code is not None if fatal else problem.rule in _WITHOUT_EFFECT
            if problem.place.line is None and variable and relevant:
                what = f"{variable.name}: {problem.key}: {problem.what}"
                yield Hit(variable.node.spot, f"{what} [{registry.series}]", problem.fix)


@rules("PPW006")
def overridden(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for registry in each(file, context.project):
        written = registry.read(registry.series, {}) if registry.mount else None
        for variable in registry.container.variables if written else ():
            key = variable.name.removeprefix("REGISTRY_").replace("_", ".").lower()
            place = written.places.get(key) if written else None
            if variable.name.startswith("REGISTRY_") and place is not None and "." in key:
                where = f"{posixpath.basename(place.source)}:{place.line}"
                yield Hit(variable.node.spot, f"{variable.name} overrides {where}")


@rules("PPW007")
def becomes_a_proxy(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for registry in each(file, context.project):
        variable = registry.container.variable("REGISTRY_PROXY_REMOTEURL")
        written = registry.read(registry.series, {}) if variable and registry.mount else None
        if variable and written and written.attempted and "proxy" not in written.places:
            what = f"{variable.name} with a configuration that has no proxy section"
            yield Hit(variable.node.spot, what)


@rules("PPW008")
def useless_path(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for registry in each(file, context.project):
        variable = registry.container.variable("REGISTRY_CONFIGURATION_PATH")
        if variable and variable.value and registry.path != posixpath.normpath(variable.value):
            what = f"{registry.path} is read, not {quoted(variable.value)}"
            yield Hit(variable.node.spot, what)


@rules("PPW009")
def of_another_release(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for registry in each(file, context.project):
        if registry.mount is None or registry.text is None:
            continue
        other = "3.1" if registry.series == "2.8" else "2.8"
        here, there = registry.read(registry.series, {}), registry.read(other, {})
        if here and there:
            unknown = {p.key for p in there.problems}
            keys = [p.key for p in here.problems if p.key not in unknown]
            if keys:
                what = f"{quoted(registry.image.text)} does not support {', '.join(keys[:5])}"
                yield Hit(registry.image.spot, what)


_LOOPBACK = ("127.", "localhost:", "[::1]:")


@rules("PPW010", kinds=(Kind.KUBERNETES,))
def storage_is_lost(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
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


@rules("PPW011", kinds=(Kind.KUBERNETES,))
def probe_needs_a_login(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
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


@rules("PPW012")
def published_elsewhere(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for registry in each(file, context.project):
        listening = {key: port_of(address) for key, address in registry.listens_on}
        for port in registry.container.ports if "http.addr" in listening else ():
            if port.published and port.protocol == "tcp" and port.target not in listening.values():
                said = " and ".join(f"{key} is {address}" for key, address in registry.listens_on)
                yield Hit(port.node.spot, f"{port.target} is published, and {said}")


@rules("PPW013", kinds=(Kind.KUBERNETES,))
def one_port_for_two(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for group in registries(file, context.project):
        taken: dict[int, str] = {}
        for registry in group:
            for key, address in registry.listens_on:
                first = taken.setdefault(port_of(address), registry.container.name)
                if first != registry.container.name:
                    what = f"{key} is {address}, where {quoted(first)} already listens"
                    yield Hit(registry.image.spot, what)


@rules("PPW014", kinds=(Kind.KUBERNETES,))
def probe_elsewhere(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
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


@rules("PPW015")
def loopback(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for group in registries(file, context.project):
        for registry in group:
            on_host = registry.container.node.string("network_mode") == "host"
            alone = file.kind is Kind.COMPOSE or bool(registry.container.ports)
            for key, address in registry.listens_on:
                if key == "http.addr" and address.startswith(_LOOPBACK) and alone and not on_host:
                    yield Hit(registry.image.spot, f"{key} is {address}")
