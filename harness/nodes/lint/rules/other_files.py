"""Directories of certs.d, htpasswd, scheduler-state.json, and files that cannot be read."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator

from harness.nodes.lint.documents import Directory, TextFile, TomlFile, Unread
from harness.nodes.lint.finding import Hit, Spot, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import host_of, namespace_of
from harness.nodes.lint.rule import RuleContext, Rules, rule_texts

rules = Rules(Kind.INPUT)

_HUB_ALIASES = {
    "registry-1.docker.io",
    "index.docker.io",
    "registry.hub.docker.com",
    "hub.docker.com",
}
_MISSPELT = re.compile(
    r"host\.toml|hosts?\.(?:tml|tom|conf|yaml|yml|json)|hosts\.toml\..+|Hosts\.toml"
)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
_OTHER_HASHES = {"$apr1$": "md5", "{SHA}": "sha1", "$5$": "sha256", "$6$": "sha512"}


@rules(*(rule_id for rule_id in rule_texts() if rule_id.startswith("PPX")))
def unread(file: Unread, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    yield file.cause, Hit(file.spot, file.what, edits=file.edits)


@rules("PPC202", "PPC203", kinds=(Kind.HTPASSWD,))
def htpasswd(file: TextFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    for number, line in enumerate(file.text.splitlines(), 1):
        user, colon, password = line.strip().partition(":")
        if not line.strip() or user.startswith("#"):
            continue
        if not colon:
            yield "PPC203", Hit(Spot(number), "no colon between user and password")
        elif not _BCRYPT.fullmatch(password):
            known = (name for mark, name in _OTHER_HASHES.items() if password.startswith(mark))
            what = f"the password of {user!r} is {next(known, 'not bcrypt')}"
            yield "PPC202", Hit(Spot(number, line.index(":") + 2), what)


@rules("PPC204", "PPC205", kinds=(Kind.SCHEDULE,))
def schedule(file: TextFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    try:
        found = json.loads(file.text)
    except (ValueError, RecursionError):
        yield "PPC204", Hit(Spot(), "empty" if not file.text.strip() else "not JSON")
        return
    if not isinstance(found, dict):
        yield "PPC204", Hit(Spot(), "not an object")
        return
    for name, entry in found.items():
        at = max(file.text.find(json.dumps(name)), 0)
        spot, said = Spot(file.text.count("\n", 0, at) + 1), repr(name[:80])
        key = _unreadable(entry)
        if key is not None:
            yield "PPC204", Hit(spot, f"{said}: {key or 'the entry'} is invalid")
        elif (
            entry.get("Key") != name
            or "ExpiryData" not in entry
            or entry.get("EntryType") not in {0, 1}
        ):
            what = f"{said} has another Key, no ExpiryData, or no known EntryType"
            yield "PPC205", Hit(spot, what)


def _unreadable(entry: object) -> str | None:
    """The key of an entry that prevents startup; empty for the entry itself."""
    if not isinstance(entry, dict):
        return ""
    if not isinstance(entry.get("Key") or "", str):
        return "Key"
    date = entry.get("ExpiryData")
    if date is not None and not (isinstance(date, str) and _RFC_3339.fullmatch(date)):
        return "ExpiryData"
    kind = entry.get("EntryType")
    return None if kind is None or type(kind) is int else "EntryType"


# -- Directories of certs.d ----------------------------------------------------------------------
def _hit(what: str, fix: str = "") -> Hit:
    return Hit(Spot(), what, fix)


@rules("PPH040", "PPH041", "PPH042", "PPH045", "PPH049", kinds=(Kind.DIRECTORY,))
def directory_name(directory: Directory, context: RuleContext) -> Iterator[tuple[str, Hit]]:
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


@rules("PPH043", "PPH044", "PPH046", "PPH047", "PPH048", kinds=(Kind.DIRECTORY,))
def directory_files(directory: Directory, context: RuleContext) -> Iterator[tuple[str, Hit]]:
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
