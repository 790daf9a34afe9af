"""Directories below certs.d: their names, and what lies in them."""

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

rules = Rules(Kind.DIRECTORY, source="measured on 1.6.20 to 2.3.4")

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


@rules("PPH040", "error")
def not_a_registry(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """Directory that no image name selects.

    why: containerd looks up the registry of the image name, and a name without a dot or a port is a
        user of Docker Hub
    fix: name it after the registry in the image names, such as docker.io
    source: distribution reference grammar; containerd docs/hosts.md; measured
    """
    name = namespace_of(directory.absolute)
    if name in {"_default", "localhost"} or "." in name or ":" in name or name != name.lower():
        return
    yield Hit(_START, f"no image can name the registry {quoted(name)}")


@rules("PPH041", "error")
def hub_under_another_name(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """Directory for a Docker Hub host that no image name contains.

    why: images of Docker Hub are always looked up as docker.io
    fix: rename the directory to docker.io
    """
    name = posixpath.basename(directory.absolute)
    if name in _HUB_ALIASES and name not in context.cluster.image_registries:
        yield Hit(_START, f"{quoted(name)} is never read for images of Docker Hub")


@rules("PPH042", "error")
def named_for_the_mirror(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """Directory named after the mirror instead of the registry.

    why: containerd selects the directory by the registry in the image name, not by the host that it
        contacts
    fix: name it after the registry in the image names
    source: containerd docs/hosts.md; measured on 1.6.20 to 2.3.4
    """
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


@rules("PPH043", "warning")
def hides_default(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """Empty directory that hides _default.

    why: containerd uses the first directory that exists and merges nothing, so it contacts the
        registry itself and no mirror
    fix: remove the directory, or add a hosts.toml
    """
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


@rules("PPH044", "error")
def hosts_toml_is_a_directory(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """hosts.toml is a directory.

    why: every pull from the registry fails; docker creates such a directory if a mounted file is
        missing
    fix: replace it with a file
    """
    if "hosts.toml" in directory.subdirectories:
        yield Hit(_START, "hosts.toml is a directory")


@rules("PPH045", "warning")
def two_spellings(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """Two directories for one registry.

    why: containerd looks for NAME_PORT_ before NAME:PORT, and uses only the first that exists
    fix: keep one of them
    source: measured on 1.6.20 to 2.3.4; containerd docs/hosts.md
    """
    parent, name = posixpath.split(directory.absolute)
    host, colon, port = name.rpartition(":")
    first = f"{host}_{port}_"
    if colon and posixpath.join(parent, first) in context.project.host_directories:
        yield Hit(_START, f"{quoted(name)} is not read next to {quoted(first)}")


@rules("PPH046", "warning")
def ignored_certificates(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """Certificates next to hosts.toml.

    why: *.crt, *.cert and *.key are used only if there is no hosts.toml
    fix: set ca and client in hosts.toml
    """
    file = _hosts_file(directory, context)
    if file is None or not file.values:
        return
    for name in directory.names:
        if name.endswith((".crt", ".cert")) and name not in file.text:
            yield Hit(_START, f"{quoted(name)} is not used")


@rules("PPH047", "error")
def misspelt_file(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """File name similar to hosts.toml.

    why: containerd reads only hosts.toml
    fix: rename it to hosts.toml
    source: containerd docs/hosts.md
    """
    if "hosts.toml" not in directory.names:
        for name in directory.names:
            if _MISSPELT.fullmatch(name):
                yield Hit(_START, f"{quoted(name)} is not read")


@rules("PPH048", "error")
def certificate_without_key(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """Client certificate without its key.

    why: NAME.cert needs NAME.key next to it; *.crt files are CA certificates only
    fix: add the key under the same name
    source: containerd docs/hosts.md, certificate directories; measured
    """
    if "hosts.toml" in directory.names:
        return
    for name in directory.names:
        if name.endswith(".cert") and name.removesuffix(".cert") + ".key" not in directory.names:
            yield Hit(_START, f"no key for {quoted(name)}")


@rules("PPH049", "error")
def port_differs(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """Directory with a port that images do not have, or without the one they have.

    why: containerd never uses a directory without a port for images of NAME:PORT, nor one with a
        port for images of NAME
    fix: name it exactly as in the image names
    """
    name = namespace_of(directory.absolute)
    used, present = context.cluster.image_registries, context.project.named
    if name in used or name == "_default":
        return
    host = name.partition(":")[0]
    for registry in sorted(used - present):
        if registry.partition(":")[0] == host:
            yield Hit(_START, f"images are of {quoted(registry)}, the directory is {quoted(name)}")
