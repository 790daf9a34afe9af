"""Directories below certs.d: their names and their files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from harness.nodes.lint.documents import Directory, TomlFile
from harness.nodes.lint.finding import Spot, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import host_of, namespace_of
from harness.nodes.lint.rule import Hit, RuleContext, Rules

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
_START = Spot()


def _hosts_file(directory: Directory, context: RuleContext) -> TomlFile | None:
    path = posixpath.join(directory.absolute, "hosts.toml")
    return context.project.at_path(path, directory, TomlFile)


@rules("PPH040")
def not_a_registry(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    name = namespace_of(directory.absolute)
    if name in {"_default", "localhost"} or "." in name or ":" in name or name != name.lower():
        return
    yield Hit(_START, f"no image can name the registry {quoted(name)}")


@rules("PPH041")
def hub_under_another_name(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    name = posixpath.basename(directory.absolute)
    if name in _HUB_ALIASES and name not in context.cluster.image_registries:
        yield Hit(_START, f"{quoted(name)} is never read for images of Docker Hub")


@rules("PPH042")
def named_for_the_mirror(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    file, name = _hosts_file(directory, context), namespace_of(directory.absolute)
    if file is None or name == "_default" or ("." not in name and ":" not in name):
        return
    server = file.get("server")
    registry = host_of(server) if isinstance(server, str) else ""
    registry = "docker.io" if registry == "registry-1.docker.io" else registry
    if not registry or registry == name or name in _HUB_ALIASES:
        return
    own = {host_of(url) for url in file.table("host")}
    used = context.cluster.image_registries
    if name in own or (registry in used and name not in used):
        yield Hit(
            _START,
            f"{quoted(name)} is the mirror; images are of {quoted(registry)}",
            f"name it {registry}",
        )


@rules("PPH043")
def hides_default(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    name = posixpath.basename(directory.absolute)
    sibling = posixpath.join(posixpath.dirname(directory.absolute), "_default")
    if name == "_default" or sibling not in context.project.host_directories:
        return
    file = _hosts_file(directory, context)
    certificates = any(n.endswith((".crt", ".cert")) for n in directory.names)
    unparsed = file is None and "hosts.toml" in directory.names
    if certificates or unparsed or "hosts.toml" in directory.subdirectories:
        return
    if file is None or not file.values:
        yield Hit(_START, f"{quoted(name)} has no settings, and _default is not used")


@rules("PPH044")
def hosts_toml_is_a_directory(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    if "hosts.toml" in directory.subdirectories:
        yield Hit(_START, "hosts.toml is a directory")


@rules("PPH045")
def two_spellings(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    parent, name = posixpath.split(directory.absolute)
    host, colon, port = name.rpartition(":")
    first = f"{host}_{port}_"
    if colon and posixpath.join(parent, first) in context.project.host_directories:
        yield Hit(_START, f"{quoted(name)} is not read next to {quoted(first)}")


@rules("PPH046")
def ignored_certificates(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    file = _hosts_file(directory, context)
    if file is None or not file.values:
        return
    for name in directory.names:
        if name.endswith((".crt", ".cert")) and name not in file.text:
            yield Hit(_START, f"{quoted(name)} is not used")


@rules("PPH047")
def misspelt_file(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    if "hosts.toml" not in directory.names:
        for name in directory.names:
            if _MISSPELT.fullmatch(name):
                yield Hit(_START, f"{quoted(name)} is not read")


@rules("PPH048")
def certificate_without_key(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    if "hosts.toml" in directory.names:
        return
    for name in directory.names:
        if name.endswith(".cert") and name.removesuffix(".cert") + ".key" not in directory.names:
            yield Hit(_START, f"no key for {quoted(name)}")


@rules("PPH049")
def port_differs(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    name = namespace_of(directory.absolute)
    used, present = context.cluster.image_registries, context.project.named
    if name in used or name == "_default":
        return
    host = name.partition(":")[0]
    for registry in sorted(used - present):
        if registry.partition(":")[0] == host:
            yield Hit(_START, f"images are of {quoted(registry)}, the directory is {quoted(name)}")
