"""Containers that run distribution's registry, in Kubernetes or compose: which release, with which
configuration, and what is wrong with it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.nodes.lint.containers import Container, Mount, compose_containers, pod_containers
from harness.nodes.lint.documents import Node, TextFile, TreeFile
from harness.nodes.lint.finding import Hit, KeyEdit, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import Project, cluster_of
from harness.nodes.lint.rule import RuleContext, Rules
from harness.nodes.models.reference import InvalidReference, normalised_reference

if TYPE_CHECKING:
    from reference_registry.config.file import ReadConfig

rules = Rules(Kind.KUBERNETES, Kind.COMPOSE)

_PATHS = {"2": "/etc/docker/registry/config.yml", "3": "/etc/distribution/config.yml"}
"""What the image of each major version reads, unless its command names another
(distribution#4357, distribution-library-image#166)."""
_DEFAULT = """version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
"""
"""The relevant part of the image's own config.yml."""
_ADDRESSES = frozenset({"REGISTRY_HTTP_ADDR", "REGISTRY_HTTP_DEBUG_ADDR"})
_TAG = re.compile(r"v?(?P<major>[23])(?:\.(?P<minor>\d+))?(?P<rest>[.-].*)?")


def _release_of(image: str) -> tuple[str, str] | None:
    """The series of *image* (2.8, 3.0 or 3.1), and the path of its configuration; None for other
    images. ``latest`` is 3 since April 2025."""
    try:
        found = normalised_reference(image)
    except InvalidReference:
        return None
    name = "/".join(found.repository.split("/")[-2:])
    if name not in {"registry", "library/registry", "distribution/distribution"}:
        return None
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2] or "latest"
    if tag == "latest":
        return None if "@" in image else ("3.1", _PATHS["3"])
    match = _TAG.fullmatch(tag)
    if match is None:
        return None
    if match["major"] == "2":
        return "2.8", _PATHS["2"]
    before = "alpha" in (match["rest"] or "")  # the path is another since the betas
    return "3.0" if match["minor"] == "0" else "3.1", _PATHS["2" if before else "3"]


@dataclass(frozen=True)
class _Registry:
    """A container that serves a registry."""

    container: Container
    series: str
    default_path: str
    project: Project

    @property
    def image(self) -> Node:
        """The node with the image's name."""
        return self.container.image or self.container.node

    @property
    def path(self) -> str:
        """The path of the configuration; empty if a custom command does not show it."""
        words = [w for w in self.container.command if w.endswith((".yml", ".yaml"))]
        if words:
            return posixpath.normpath(words[-1])
        variable = self.container.variable("REGISTRY_CONFIGURATION_PATH")
        if self.container.command:
            return variable.value or "" if variable else ""
        return self.default_path

    @property
    def mount(self) -> Mount | None:
        """The mount at :attr:`path`."""
        return self.container.mount_over(self.path) if self.path else None

    @cached_property
    def text(self) -> str | None:
        """The text of the mounted configuration, if lint has the file, or of the image's own."""
        if self.mount is not None:
            return _text_of(self.mount, self)
        return _DEFAULT if self.path == self.default_path else None

    @cached_property
    def reading(self) -> ReadConfig | None:
        """The configuration as the release reads it, the environment included."""
        known = {v.name: v.value for v in self.container.variables if v.value is not None}
        return self.read(self.series, known)

    def read(self, series: str, environment: Mapping[str, str]) -> ReadConfig | None:
        """The configuration as *series* would read it."""
        from reference_registry.config.file import read_text
        from reference_registry.profiles import profile_named

        if self.text is None:
            return None
        return read_text(self.text, self.path, profile_named(series), environment)

    @cached_property
    def listens_on(self) -> tuple[tuple[str, str], ...]:
        """The listeners, if they are known: key and address of each."""
        config = self.reading.attempted if self.reading else None
        unknown = {v.name for v in self.container.variables if v.value is None}
        if config is None or unknown & _ADDRESSES or self.container.node.get("envFrom"):
            return ()
        debug = config.http.debug
        both = (("http.addr", config.http.addr), ("http.debug.addr", debug.addr if debug else ""))
        return tuple((key, address) for key, address in both if _port_of(address))


def _port_of(address: str) -> int:
    """The port of an address in config.yml; 0 if there is none."""
    port = address.rpartition(":")[2]
    return int(port) if ":" in address and port.isdecimal() and len(port) <= 5 else 0


def _text_of(mount: Mount, registry: _Registry) -> str | None:
    below = posixpath.relpath(registry.path, mount.target)
    inside = mount.sub_path if below == "." else posixpath.join(mount.sub_path, below)
    if mount.kind == "configMap":
        key = (mount.items or {}).get(inside, inside if mount.items is None else "")
        for found in cluster_of(registry.project).named("ConfigMap", mount.source):
            node = found.node.get("data", key)
            if node is not None:
                return node.text
        return None
    if mount.kind != "path":
        return None
    source = mount.source if below == "." else posixpath.join(mount.source, below)
    file = registry.project.at_path(source, registry.container.file, TextFile)
    return file.text if file is not None and file.kind is Kind.REGISTRY else None


def _groups(file: TreeFile, context: RuleContext) -> tuple[list[_Registry], ...]:
    """The containers of *file* that serve a registry, grouped by network: those of a pod, or a
    single service."""
    return context.project.once_each(_grouped, file)


def _grouped(file: TreeFile, project: Project) -> list[list[_Registry]]:
    groups = [project.once_each(pod_containers, pod) for pod in cluster_of(project).pods_in(file)]
    if file.kind is Kind.COMPOSE:
        groups = [(container,) for container in project.once_each(compose_containers, file)]
    return [
        [
            _Registry(container, *release, project)
            for container in group
            if (release := _release_of(container.image.text if container.image else ""))
            and "garbage-collect" not in container.command
        ]
        for group in groups
    ]


def _registries(file: TreeFile, context: RuleContext) -> Iterator[_Registry]:
    """All containers of *file* that serve a registry."""
    for group in _groups(file, context):
        yield from group


_WITHOUT_EFFECT = frozenset({"unknown-variable", "no-effect"})
_LOOPBACK = ("127.", "localhost:", "[::1]:")


@rules("PPW001", "PPW002", "PPW003", each=_registries)
def mounts(registry: _Registry, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    mount, wanted = registry.mount, registry.default_path
    if mount is None:
        for path in set(_PATHS.values()) - {wanted} if not registry.container.command else ():
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


@rules("PPW004", "PPW005", "PPW006", "PPW007", "PPW008", each=_registries)
def variables(registry: _Registry, context: RuleContext) -> Iterator[tuple[str, Hit]]:
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


@rules("PPW009", each=_registries)
def of_another_release(registry: _Registry, context: RuleContext) -> Iterator[Hit]:
    other = "3.1" if registry.series == "2.8" else "2.8"
    here, there = registry.read(registry.series, {}), registry.read(other, {})
    if registry.mount and here and there:
        unknown = {p.key for p in there.problems}
        keys = [p.key for p in here.problems if p.key not in unknown]
        if keys:
            name = quoted(registry.image.text)
            yield registry.image.hit(f"{name} does not support {', '.join(keys[:5])}")


@rules("PPW012", "PPW015", each=_registries)
def listeners(registry: _Registry, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    listening = {key: _port_of(address) for key, address in registry.listens_on}
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


@rules("PPW010", "PPW011", "PPW014", each=_registries, kinds=_CLUSTER)
def in_a_cluster(registry: _Registry, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    container, reading = registry.container, registry.reading
    places = reading.places if reading else {}
    if reading and reading.attempted and "storage.filesystem" in places:
        root = str(reading.attempted.storage.rootdirectory)
        mount = container.mount_over(root)
        if mount is None:
            yield "PPW010", registry.image.hit(f"nothing is mounted at {root}")
        elif mount.kind == "emptyDir":
            yield "PPW010", mount.edited.hit(f"{root} is on an emptyDir")
    listening = {str(_port_of(address)) for _, address in registry.listens_on}
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


@rules("PPW013", each=_groups, kinds=_CLUSTER)
def one_port_for_two(group: list[_Registry], context: RuleContext) -> Iterator[Hit]:
    taken: dict[int, str] = {}
    for registry in group:
        for key, address in registry.listens_on:
            first = taken.setdefault(_port_of(address), registry.container.name)
            if first != registry.container.name:
                what = f"{key} is {address}, where {quoted(first)} already listens"
                yield registry.image.hit(what)
