"""Docker compose files: their form, their files and volumes, and the ports of the host."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.containers import Container, TakenPorts, compose_containers
from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import Hit, KeyEdit, Spot, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import RuleContext, Rules

rules = Rules(Kind.COMPOSE)

_TOP = ("name", "version", "services", "networks", "volumes", "configs", "secrets", "include")
_SUFFIXES = (".yml", ".yaml", ".json", ".toml", ".crt", ".key", ".pem", ".conf")
_FILES = (*_SUFFIXES, "/htpasswd", "/.htpasswd")


def _services(file: TreeFile, context: RuleContext) -> tuple[Container, ...]:
    return context.project.once_each(compose_containers, file)


@rules("PPM001")
def no_services(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for root in file.roots[:1]:
        if root.kind != "mapping" or root.get("services"):
            continue
        services = [node for key, node in root.items() if _is_service(node) and key not in _TOP]
        near = [(key, node) for key, node in root.items() if nearest(key, ("services",))]
        if services:
            yield services[0].hit(f"unknown top-level key {quoted(services[0].path[-1])}")
        elif near:
            yield near[0][1].hit(f"{quoted(near[0][0])} in place of services")


def _is_service(node: Node) -> bool:
    return node.kind == "mapping" and bool(node.get("image") or node.get("build"))


@rules("PPM003", "PPM004", "PPM005", each=_services)
def service(container: Container, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    project, file = context.project, container.file
    ports = container.node.get("ports")
    if container.on_host_network and ports:
        yield "PPM003", ports.hit("ports beside network_mode: host", KeyEdit("remove", ports.path))
    for item in container.node.list("environment"):
        if item.kind == "mapping":
            names = ", ".join(name for name, _ in item.items())
            yield "PPM004", item.hit(f"{quoted(names)} is a mapping within a list")
    for name, value in container.node.items("environment"):
        if value.kind in {"mapping", "sequence"}:
            what = f"{quoted(name)} is a {value.kind}"
            yield "PPM004", value.hit(what, fix="quote the value")
    for mount in container.mounts:
        source = quoted(mount.source)
        if mount.kind == "path" and mount.target.endswith(_FILES) and "$" not in mount.source:
            found = project.kind_at(mount.source, file)
            if found == "directory":
                yield "PPM005", mount.node.hit(f"{source} is a directory")
            elif found is None and project.kind_at(posixpath.dirname(mount.source), file):
                yield "PPM005", mount.node.hit(f"{source} does not exist")


@rules("PPM006")
def undeclared(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    root = file.roots[0] if file.roots else None
    if root is None or root.get("services") is None:
        return
    names = {name for name, _ in root.items("volumes")}
    spots: set[Spot] = set()
    for container in _services(file, context):
        for mount in container.mounts:
            named = mount.kind == "volume" and mount.source and "$" not in mount.source
            if named and mount.source not in names and mount.node.spot not in spots:
                spots.add(mount.node.spot)
                yield mount.node.hit(f"volume {quoted(mount.source)} is not declared")


@rules("PPM002")
def one_port_of_the_host(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    always, by_profile = TakenPorts(), dict[str, TakenPorts]()
    # Services of different profiles may never run together; those without one always run.
    services = [(_profiles(container), container) for container in _services(file, context)]
    for profiles, container in sorted(services, key=lambda pair: bool(pair[0])):
        taken = by_profile.setdefault(profiles, TakenPorts()) if profiles else always
        for port in container.ports if not container.on_host_network else ():
            if port.published:
                first = always.holder(port)
                first = taken.take(port, container.name) or first
                if first is not None:
                    whose = "this service" if first == container.name else quoted(first)
                    yield port.node.hit(f"{whose} already uses port {port.published}")


def _profiles(container: Container) -> str:
    return " ".join(sorted(item.text for item in container.node.list("profiles")))
