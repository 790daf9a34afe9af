"""registries.conf: files that are taken, and that do not do what one may think."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import Path, SetValue, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import Project
from harness.nodes.lint.rule import Hit, RuleContext, Rules
from harness.nodes.lint.rules.registries_conf import mirrors, registries

__all__ = ["rules"]

rules = Rules(Kind.REGISTRIES, source="containers-registries.conf(5); measured on skopeo 1.9.3")

_DOCS = "containers-registries.conf(5)"
_MEASURED = f"{_DOCS}; measured on skopeo 1.9.3"
_SEARCH = "unqualified-search-registries"
_HUB_HOSTS = {"registry-1.docker.io", "index.docker.io", "registry.hub.docker.com"}


def _prefix(table: dict[str, Any]) -> str:
    for key in ("prefix", "location"):
        if isinstance(table.get(key), str) and table[key]:
            return str(table[key]).rstrip("/")
    return ""


def _location(table: dict[str, Any]) -> str:
    location = table.get("location")
    return location.rstrip("/") if isinstance(location, str) else ""


@rules("PPR020", "warning")
def blocked_with_mirrors(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Blocked registry with mirrors.

    why: blocked applies to the location only: a mirror that works still serves the images
    fix: remove the mirrors to block all pulls; keep them to block only direct pulls
    """
    for path, table in registries(file):
        if table.get("blocked") is True and table.get("mirror"):
            what = f"{quoted(_prefix(table))} is blocked, but its mirrors are not"
            yield Hit(file.at(*path, "blocked"), what)


@rules("PPR021", "warning")
def mirror_of_itself(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Mirror that is the registry itself.

    why: if it fails, it is tried again as the registry
    fix: remove the mirror, or write its real location
    source: containers-registries.conf(5)
    """
    for path, table, registry in mirrors(file):
        own = _location(registry) or _prefix(registry)
        if own and _location(table) == own:
            yield Hit(file.at(*path, "location"), f"{quoted(own)} is the registry itself")


@rules("PPR022", "warning")
def insecure(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Certificate verification is off.

    why: with insecure = true, certificates are not checked, and plain http is tried next: anyone on
        the network path can answer
    fix: put the CA in /etc/containers/certs.d/HOST:PORT/ca.crt, and remove insecure
    """
    tables: list[tuple[Path, dict[str, Any]]] = list(registries(file))
    tables += [(path, table) for path, table, _ in mirrors(file)]
    for path, table in tables:
        host = (_location(table) or _prefix(table)).partition("/")[0]
        local = host.startswith(("127.", "localhost", "[::1]"))
        if table.get("insecure") is True and not local:
            yield Hit(
                file.at(*path, "insecure"), f"the certificate of {quoted(host)} is not checked"
            )


@rules("PPR023", "warning")
def ambiguous_names(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Several registries for short names.

    why: nginx is pulled from the first registry that has such a name: anyone who can create one in
        an earlier registry decides what you run. podman and CRI-O do this; skopeo always uses
        Docker Hub
    fix: name one registry, or use [aliases] and full image names
    source: containers-registries.conf(5), note on risk of using unqualified image names
    """
    search = file.get(_SEARCH)
    if isinstance(search, list) and len(search) > 1:
        names = ", ".join(str(name) for name in search[:4])
        yield Hit(file.at(_SEARCH), f"{len(search)} are tried: {names}")


@rules("PPR024", "warning", fixable=True)
def short_names(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Short names are resolved without a prompt.

    why: with permissive or disabled, a name that exists in several registries is pulled from the
        first one if there is no terminal, as in a script
    fix: write short-name-mode = "enforcing"
    source: containers-registries.conf(5), short-name aliasing
    """
    search = file.get(_SEARCH)
    mode = file.get("short-name-mode")
    if isinstance(search, list) and len(search) > 1 and mode in ("permissive", "disabled"):
        edits = (SetValue(("short-name-mode",), "enforcing"),)
        yield Hit(file.at("short-name-mode"), f"{mode}, with {len(search)} registries", edits=edits)


@rules("PPR025", "error")
def twice(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Duplicate registry.

    why: if insecure or blocked differ, the file is rejected; otherwise only one entry counts
    fix: merge them
    """
    seen: set[str] = set()
    for path, table in registries(file):
        prefix = _prefix(table)
        if prefix and prefix in seen:
            yield Hit(file.at(*path), f"duplicate registry {quoted(prefix)}")
        seen.add(prefix)


@rules("PPR026", "info")
def replaced_by_drop_in(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Drop-in file that replaces a registry.

    why: files in registries.conf.d are read after registries.conf, in the order of their names: an
        entry with the same prefix replaces the earlier one, including its mirrors
    fix: write everything in the last file, or repeat the mirrors in the drop-in file
    source: containers-registries.conf(5)
    """
    last = context.project.once("last registries", lambda: _last(context.project))
    for path, table in registries(file):
        by = last.get((_place(file), _prefix(table)))
        if by is not None and by is not file and _order(file) is not None:
            name = posixpath.basename(by.absolute)
            yield Hit(file.at(*path), f"{quoted(_prefix(table))} is replaced by {name}")


def _last(project: Project) -> dict[tuple[str, str], TomlFile]:
    """The file that counts, for each prefix below each directory."""
    files = [f for f in project.of_kind(Kind.REGISTRIES, TomlFile) if _order(f) is not None]
    ordered = sorted(files, key=lambda file: _order(file) or (False, ""))
    return {(_place(f), _prefix(table)): f for f in ordered for _, table in registries(f)}


def _order(file: TomlFile) -> tuple[bool, str] | None:
    """When it is read; None for what is not read."""
    directory, name = posixpath.split(file.absolute)
    if posixpath.basename(directory) == "registries.conf.d":
        return (True, name) if name.endswith(".conf") else None
    return (False, name) if name == "registries.conf" else None


def _place(file: TomlFile) -> str:
    directory = posixpath.dirname(file.absolute)
    inside = posixpath.basename(directory) == "registries.conf.d"
    return posixpath.dirname(directory) if inside else directory


@rules("PPR027", "error")
def bad_alias(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Alias that is not an image name.

    why: an alias stands for a full name with a registry and without a tag; otherwise the file is
        rejected
    fix: write "NAME" = "REGISTRY/REPOSITORY"
    source: containers-registries.conf(5), short-name aliasing
    """
    for name, value in file.table("aliases").items():
        if not isinstance(value, str):
            yield Hit(file.at("aliases", name), f"the value of {quoted(name)} is not a string")
            continue
        first, slash, rest = value.partition("/")
        registry = slash and ("." in first or ":" in first or first == "localhost")
        if value and (not registry or ":" in rest or "@" in rest):
            what = f"{quoted(name)} stands for {quoted(value)}"
            yield Hit(file.at("aliases", name), what)
        elif any(mark in name for mark in ":@") or "." in name.partition("/")[0]:
            yield Hit(file.at("aliases", name), f"{quoted(name)} is not a short name")


@rules("PPR028", "error", fixable=True)
def hub_under_another_name(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Docker Hub under a name that images do not have.

    why: images of Docker Hub are named docker.io/..., and the longest matching prefix decides: this
        one matches nothing
    fix: write docker.io
    source: containers-registries.conf(5), choosing a [[registry]] TOML table
    """
    for path, table in registries(file):
        host = _prefix(table).partition("/")[0]
        if host in _HUB_HOSTS:
            key = "prefix" if table.get("prefix") else "location"
            value = str(table[key]).replace(host, "docker.io", 1)
            edits = (SetValue((*path, key), value),)
            yield Hit(file.at(*path, key), f"no image name contains {quoted(host)}", edits=edits)


@rules("PPR029", "info")
def digests_only(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Mirrors that are not used for tags.

    why: with mirror-by-digest-only, a pull by tag bypasses every mirror, goes to the registry
        itself, and counts against its rate limit
    fix: remove it, if the mirrors may resolve tags too
    """
    for path, table in registries(file):
        if table.get("mirror-by-digest-only") is True and table.get("mirror"):
            what = f"mirrors of {quoted(_prefix(table))} are used for digests only"
            yield Hit(file.at(*path, "mirror-by-digest-only"), what)
