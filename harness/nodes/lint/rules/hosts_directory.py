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
    """A directory that no image's name can lead to.

    why: directories are looked up by the registry in the image's name, and a name without dot or
        port is a user of Docker Hub
    fix: call it after the registry that images name, such as docker.io
    source: distribution reference grammar; containerd docs/hosts.md; measured
    """
    name = namespace_of(directory.absolute)
    if name in {"_default", "localhost"} or "." in name or ":" in name or name != name.lower():
        return
    yield Hit(_START, f"{quoted(name)} is no registry that an image can name")


@rules("PPH041", "error")
def hub_under_another_name(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """A directory for a host of Docker Hub that images do not name.

    why: images of Docker Hub are looked up as docker.io, however they are written
    fix: call the directory docker.io
    """
    name = posixpath.basename(directory.absolute)
    if name in _HUB_ALIASES and name not in context.cluster.image_registries:
        yield Hit(_START, f"{quoted(name)} is never read for images of Docker Hub")


@rules("PPH042", "error")
def named_for_the_mirror(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """A directory named for the mirror instead of the images' registry.

    why: the directory is chosen by the registry in the image's name, not by the host to be
        contacted
    fix: call it after the registry that the images name
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
            f"call it {registry}",
        )


@rules("PPH043", "warning")
def hides_default(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """An empty directory hides _default.

    why: the first directory that exists is used and nothing is merged, so that the registry itself
        is asked and no mirror
    fix: remove the directory, or write a hosts.toml
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
        yield Hit(_START, f"nothing is set for {quoted(name)}, and _default does not count")


@rules("PPH044", "error")
def hosts_toml_is_a_directory(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """hosts.toml is a directory.

    why: every pull of the registry fails; docker makes such a directory where a mounted file is
        missing
    fix: replace it by a file
    """
    if "hosts.toml" in directory.subdirectories:
        yield Hit(_START, "hosts.toml is a directory")


@rules("PPH045", "warning")
def two_spellings(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """Two directories for one registry.

    why: NAME_PORT_ is looked for before NAME:PORT, and the first that exists is used alone
    fix: keep one of them
    source: measured on 1.6.20 to 2.3.4; containerd docs/hosts.md
    """
    parent, name = posixpath.split(directory.absolute)
    host, colon, port = name.rpartition(":")
    first = f"{host}_{port}_"
    if colon and posixpath.join(parent, first) in context.project.host_directories:
        yield Hit(_START, f"{quoted(name)} is not read beside {quoted(first)}")


@rules("PPH046", "warning")
def ignored_certificates(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """Certificates beside hosts.toml.

    why: *.crt, *.cert and *.key are looked for only where there is no hosts.toml
    fix: name them in hosts.toml as ca and client
    """
    file = _hosts_file(directory, context)
    if file is None or not file.values:
        return
    for name in directory.names:
        if name.endswith((".crt", ".cert")) and name not in file.text:
            yield Hit(_START, f"{quoted(name)} is not used")


@rules("PPH047", "error")
def misspelt_file(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """A file that is nearly called hosts.toml.

    why: only hosts.toml is read
    fix: call it hosts.toml
    source: containerd docs/hosts.md
    """
    if "hosts.toml" not in directory.names:
        for name in directory.names:
            if _MISSPELT.fullmatch(name):
                yield Hit(_START, f"{quoted(name)} is not read")


@rules("PPH048", "error")
def certificate_without_key(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """A client certificate without its key.

    why: NAME.cert needs NAME.key beside it; *.crt are authorities only
    fix: put the key there under the same name
    source: containerd docs/hosts.md, certificate directories; measured
    """
    if "hosts.toml" in directory.names:
        return
    for name in directory.names:
        if name.endswith(".cert") and name.removesuffix(".cert") + ".key" not in directory.names:
            yield Hit(_START, f"no key for {quoted(name)}")


@rules("PPH049", "error")
def port_differs(directory: Directory, context: RuleContext) -> Iterator[Hit]:
    """A directory for a registry without its port, or the other way round.

    why: a directory without a port is never used for images of NAME:PORT, nor one with a port for
        NAME
    fix: call it exactly as the images do
    """
    name = namespace_of(directory.absolute)
    used, present = context.cluster.image_registries, context.project.named
    if name in used or name == "_default":
        return
    host = name.partition(":")[0]
    for registry in sorted(used - present):
        if registry.partition(":")[0] == host:
            yield Hit(_START, f"images name {quoted(registry)}, the directory {quoted(name)}")
