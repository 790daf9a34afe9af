"""Docker compose files that bring up a registry."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.containers import compose_containers
from harness.nodes.lint.documents import Node, TreeFile
from harness.nodes.lint.finding import RemoveKey, Spot, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.COMPOSE)

_TOP = ("name", "version", "services", "networks", "volumes", "configs", "secrets", "include")
_FILES = (".yml", ".yaml", ".json", ".toml", ".crt", ".key", ".pem", ".conf")


@rules("PPM001")
def no_services(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for root in file.roots[:1]:
        if root.kind != "mapping" or root.get("services") is not None:
            continue
        services = [node for key, node in root.items() if _is_service(node) and key not in _TOP]
        near = [(key, node) for key, node in root.items() if nearest(key, ("services",))]
        if services:
            yield Hit(services[0].spot, f"unknown top-level key {quoted(services[0].path[-1])}")
        elif near:
            yield Hit(near[0][1].spot, f"{quoted(near[0][0])} in place of services")


def _is_service(node: Node) -> bool:
    return node.kind == "mapping" and bool(node.get("image") or node.get("build"))


@rules("PPM003", fixable=True)
def ports_on_host_network(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for container in compose_containers(file, context.project):
        ports = container.node.get("ports")
        if container.node.string("network_mode") == "host" and ports is not None:
            yield Hit(ports.spot, "ports beside network_mode: host", edits=(RemoveKey(ports.path),))


@rules("PPM004")
def environment(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    for container in compose_containers(file, context.project):
        node = container.node.get("environment")
        for item in node.list() if node is not None else ():
            if item.kind == "mapping":
                names = ", ".join(name for name, _ in item.items())
                yield Hit(item.spot, f"{quoted(names)} is a mapping within a list")
        for name, value in node.items() if node is not None else ():
            if value.kind in {"mapping", "sequence"}:
                yield Hit(value.spot, f"{quoted(name)} is a {value.kind}",
                          "quote the value")  # fmt: skip


@rules("PPM005")
def missing_file(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    project = context.project
    for container in compose_containers(file, context.project):
        for mount in container.mounts:
            name = posixpath.basename(mount.target)
            is_file = name.endswith(_FILES) or name in {"htpasswd", ".htpasswd"}
            if mount.kind != "path" or not is_file or "$" in mount.source:
                continue
            found = project.kind_beside(mount.source, file)
            if found == "directory":
                yield Hit(mount.node.spot, f"{quoted(mount.source)} is a directory")
            elif found is None and project.kind_beside(posixpath.dirname(mount.source), file):
                yield Hit(mount.node.spot, f"{quoted(mount.source)} does not exist")


@rules("PPM006")
def undeclared(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    root = file.roots[0] if file.roots else None
    if root is None or root.get("services") is None:
        return
    declared = root.get("volumes")
    names = {name for name, _ in declared.items()} if declared is not None else set()
    spots: set[Spot] = set()
    for container in compose_containers(file, context.project):
        for mount in container.mounts:
            named = mount.kind == "volume" and mount.source and "$" not in mount.source
            if named and mount.source not in names and mount.node.spot not in spots:
                spots.add(mount.node.spot)
                yield Hit(mount.node.spot, f"volume {quoted(mount.source)} is not declared")
