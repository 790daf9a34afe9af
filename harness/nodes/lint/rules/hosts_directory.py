"""Directories below certs.d: their names and their files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from harness.nodes.lint.documents import Directory, TomlFile
from harness.nodes.lint.finding import Hit, Spot, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import host_of, namespace_of
from harness.nodes.lint.rule import RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.DIRECTORY)

_HUB_ALIASES = {
    "registry-1.docker.io",
    "index.docker.io",
    "registry.hub.docker.com",
    "hub.docker.com",
}
_MISSPELT = re.compile(
    r"host\.toml|hosts?\.(?:tml|tom|conf|yaml|yml|json)|hosts\.toml\..+|Hosts\.toml"
)


def _hit(what: str, fix: str = "") -> Hit:
    return Hit(Spot(), what, fix)


@rules("PPH040", "PPH041", "PPH042", "PPH045", "PPH049")
def name(directory: Directory, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    parent, name = posixpath.split(directory.absolute)
    registry, used = namespace_of(directory.absolute), context.cluster.image_registries
    host, colon, port = name.rpartition(":")
    first = f"{host}_{port}_"
    if colon and posixpath.join(parent, first) in context.project.host_directories:
        yield "PPH045", _hit(f"{quoted(name)} is not read next to {quoted(first)}")
    if name in _HUB_ALIASES and name not in used:
        yield "PPH041", _hit(f"{quoted(name)} is never read for images of Docker Hub")
    if registry == "_default":
        return
    for other in sorted(used - context.project.named) if registry not in used else ():
        if other.partition(":")[0] == registry.partition(":")[0]:
            what = f"images are of {quoted(other)}, the directory is {quoted(registry)}"
            yield "PPH049", _hit(what)
    if "." in registry or ":" in registry:
        yield from _named_for_the_mirror(directory, registry, context)
    elif registry != "localhost" and registry == registry.lower():
        yield "PPH040", _hit(f"no image can name the registry {quoted(registry)}")


def _named_for_the_mirror(
    directory: Directory, name: str, context: RuleContext
) -> Iterator[tuple[str, Hit]]:
    file, used = _hosts_file(directory, context), context.cluster.image_registries
    registry = host_of(file.string("server")) if file else ""
    registry = "docker.io" if registry == "registry-1.docker.io" else registry
    if file is None or not registry or registry == name or name in _HUB_ALIASES:
        return
    own = {host_of(url) for url in file.table("host")}
    if name in own or (registry in used and name not in used):
        what = f"{quoted(name)} is the mirror; images are of {quoted(registry)}"
        yield "PPH042", _hit(what, f"name it {registry}")


def _hosts_file(directory: Directory, context: RuleContext) -> TomlFile | None:
    path = posixpath.join(directory.absolute, "hosts.toml")
    return context.project.at_path(path, directory, TomlFile)


@rules("PPH043", "PPH044", "PPH046", "PPH047", "PPH048")
def files(directory: Directory, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    parent, name = posixpath.split(directory.absolute)
    file, names = _hosts_file(directory, context), directory.names
    certificates = [name for name in names if name.endswith((".crt", ".cert"))]
    if "hosts.toml" in directory.subdirectories:
        yield "PPH044", _hit("hosts.toml is a directory")
    elif not certificates and not (file.values if file else "hosts.toml" in names):
        default = posixpath.join(parent, "_default")
        if name != "_default" and default in context.project.host_directories:
            yield "PPH043", _hit(f"{quoted(name)} has no settings, and _default is not used")
    for certificate in certificates:
        if file and file.values and certificate not in file.text:
            yield "PPH046", _hit(f"{quoted(certificate)} is not used")
    for name in names if "hosts.toml" not in names else ():
        if _MISSPELT.fullmatch(name):
            yield "PPH047", _hit(f"{quoted(name)} is not read")
        if name.endswith(".cert") and name.removesuffix(".cert") + ".key" not in names:
            yield "PPH048", _hit(f"no key for {quoted(name)}")
