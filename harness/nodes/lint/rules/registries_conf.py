"""registries.conf of podman, skopeo, buildah and CRI-O: what is rejected, ignored or surprising."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import (
    Path,
    RemoveKey,
    SetValue,
    Spot,
    quoted,
)
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import Project
from harness.nodes.lint.rule import Hit, RuleContext, Rules, misspelt

__all__ = ["mirrors", "registries", "rules"]

rules = Rules(Kind.REGISTRIES)

_TOP = (
    "registry",
    "unqualified-search-registries",
    "short-name-mode",
    "credential-helpers",
    "additional-layer-store-auth-helper",
    "aliases",
)
_REGISTRY = ("prefix", "location", "insecure", "blocked", "mirror", "mirror-by-digest-only")
_MIRROR = ("location", "insecure", "pull-from-mirror")


def registries(file: TomlFile) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each ``[[registry]]`` with its path."""
    yield from _tables(file.get("registry"), ("registry",))


def mirrors(file: TomlFile) -> Iterator[tuple[Path, dict[str, Any], dict[str, Any]]]:
    """Each ``[[registry.mirror]]`` with its path, and its registry."""
    for path, registry in registries(file):
        for below, mirror in _tables(registry.get("mirror"), (*path, "mirror")):
            yield below, mirror, registry


def _tables(value: object, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for number, table in enumerate(value if isinstance(value, list) else ()):
        if isinstance(table, dict):
            yield (*path, number), table


def _locations(file: TomlFile) -> Iterator[tuple[Path, str]]:
    """Every location and prefix that is a string."""
    for path, table in registries(file):
        for key in ("prefix", "location"):
            if isinstance(table.get(key), str):
                yield (*path, key), table[key]
    for path, table, _ in mirrors(file):
        if isinstance(table.get("location"), str):
            yield (*path, "location"), table["location"]


@rules("PPR001")
def version_1(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if "registries" in file.values:
        yield Hit(file.at("registries"), "registries is a key of version 1")


@rules("PPR002", fixable=True)
def with_scheme(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, text in _locations(file):
        scheme, mark, rest = text.partition("://")
        if mark and scheme in {"http", "https"}:
            edits = (SetValue(path, rest.rstrip("/")),)
            yield Hit(file.at(*path), f"{quoted(text)} has a scheme", edits=edits)
    search = file.get("unqualified-search-registries")
    for name in search if isinstance(search, list) else ():
        if isinstance(name, str) and name.startswith(("http://", "https://")):
            what = f"{quoted(name)} has a scheme"
            yield Hit(file.at("unqualified-search-registries"), what)


@rules("PPR003")
def no_location(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, table in registries(file):
        prefix = table.get("prefix")
        wild = isinstance(prefix, str) and prefix.startswith("*.")
        if not table.get("location") and not wild:
            yield Hit(file.at(*path), "registry without a location")
    for path, table, _ in mirrors(file):
        if not table.get("location"):
            yield Hit(file.at(*path), "mirror without a location")


@rules("PPR004")
def misplaced_star(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, text in _locations(file):
        in_prefix = path[-1] == "prefix"
        rest = text[2:] if in_prefix and text.startswith("*.") else text
        if "*" in rest or (in_prefix and text.startswith("*.") and any(c in rest for c in "/:@")):
            yield Hit(file.at(*path), f"{quoted(text)} matches no image")


@rules("PPR005", fixable=True)
def both_usages(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, table, registry in mirrors(file):
        if registry.get("mirror-by-digest-only") is True and table.get("pull-from-mirror"):
            same = table["pull-from-mirror"] == "digest-only"
            edits = (RemoveKey((*path, "pull-from-mirror")),) if same else ()
            spot = file.at(*path, "pull-from-mirror")
            yield Hit(spot, "the registry has mirror-by-digest-only", edits=edits)


@rules("PPR006", fixable=True)
def unknown_value(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    asked: list[tuple[Path, object, tuple[str, ...]]] = [
        (("short-name-mode",), file.get("short-name-mode"), ("enforcing", "permissive", "disabled"))
    ]
    usages = ("all", "digest-only", "tag-only")
    for path, table, _ in mirrors(file):
        asked.append(((*path, "pull-from-mirror"), table.get("pull-from-mirror"), usages))
    for path, value, known in asked:
        if isinstance(value, str) and value and value not in known:
            yield misspelt(file.at(*path), "unknown value", value, known, write=path)


@rules("PPR007", fixable=True)
def wrong_type(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    flags = ("insecure", "blocked", "mirror-by-digest-only")
    tables = [*registries(file), *((path, table) for path, table, _ in mirrors(file))]
    for path, table in tables:
        for key in flags:
            value = table.get(key)
            if value is not None and not isinstance(value, bool):
                where = (*path, key)
                plain = isinstance(value, str) and value in {"true", "false"}
                edits = (SetValue(where, value == "true"),) if plain else ()
                yield Hit(file.at(*where), f"{key} is not true or false", edits=edits)
    search = file.get("unqualified-search-registries")
    if search is not None and not _is_list_of_texts(search):
        where = ("unqualified-search-registries",)
        edits = (SetValue(where, (search,)),) if isinstance(search, str) else ()
        yield Hit(file.at(*where), "not a list of strings", edits=edits)
    for key in ("registry", "aliases"):
        value = file.get(key)
        if value is not None and not isinstance(value, dict if key == "aliases" else list):
            form = "[aliases]" if key == "aliases" else "[[registry]]"
            yield Hit(file.at(key), f"{key} is not {form}", f"write {form}")


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


@rules("PPR008", fixable=True)
def unknown_key(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    tables: list[tuple[Path, dict[str, Any], tuple[str, ...]]] = [((), file.values, _TOP)]
    tables += [(path, table, _REGISTRY) for path, table in registries(file)]
    tables += [(path, table, _MIRROR) for path, table, _ in mirrors(file)]
    for path, table, known in tables:
        for key in table:
            if key in known or key in {"registries", "pull-from-mirror"}:
                continue  # they have rules of their own
            where = (*path, key)
            plain = where if not isinstance(table[key], dict | list) else ()
            yield misspelt(file.at(*where), "unknown key", key, known, rename=plain, present=table)


@rules("PPR009")
def no_drop_in(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    directory = posixpath.basename(posixpath.dirname(file.absolute))
    if directory == "registries.conf.d" and not file.absolute.endswith(".conf"):
        yield Hit(Spot(), f"{quoted(posixpath.basename(file.absolute))} does not end in .conf")


@rules("PPR010")
def usage_of_a_registry(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, table in registries(file):
        if "pull-from-mirror" in table:
            yield Hit(file.at(*path, "pull-from-mirror"), "pull-from-mirror outside a mirror")


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


@rules("PPR020")
def blocked_with_mirrors(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, table in registries(file):
        if table.get("blocked") is True and table.get("mirror"):
            what = f"{quoted(_prefix(table))} is blocked, but its mirrors are not"
            yield Hit(file.at(*path, "blocked"), what)


@rules("PPR021")
def mirror_of_itself(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, table, registry in mirrors(file):
        own = _location(registry) or _prefix(registry)
        if own and _location(table) == own:
            yield Hit(file.at(*path, "location"), f"{quoted(own)} is the registry itself")


@rules("PPR022")
def insecure(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    tables: list[tuple[Path, dict[str, Any]]] = list(registries(file))
    tables += [(path, table) for path, table, _ in mirrors(file)]
    for path, table in tables:
        host = (_location(table) or _prefix(table)).partition("/")[0]
        local = host.startswith(("127.", "localhost", "[::1]"))
        if table.get("insecure") is True and not local:
            yield Hit(
                file.at(*path, "insecure"), f"the certificate of {quoted(host)} is not checked"
            )


@rules("PPR023")
def ambiguous_names(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    search = file.get(_SEARCH)
    if isinstance(search, list) and len(search) > 1:
        names = ", ".join(str(name) for name in search[:4])
        yield Hit(file.at(_SEARCH), f"{len(search)} are tried: {names}")


@rules("PPR024", fixable=True)
def short_names(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    search = file.get(_SEARCH)
    mode = file.get("short-name-mode")
    if isinstance(search, list) and len(search) > 1 and mode in ("permissive", "disabled"):
        edits = (SetValue(("short-name-mode",), "enforcing"),)
        yield Hit(file.at("short-name-mode"), f"{mode}, with {len(search)} registries", edits=edits)


@rules("PPR025")
def duplicates(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    seen: set[str] = set()
    for path, table in registries(file):
        prefix = _prefix(table)
        if prefix and prefix in seen:
            yield Hit(file.at(*path), f"duplicate registry {quoted(prefix)}")
        seen.add(prefix)


@rules("PPR026")
def replaced_by_drop_in(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    last = context.project.once("last registries", lambda: _last(context.project))
    for path, table in registries(file):
        by = last.get((_place(file), _prefix(table)))
        if by is not None and by is not file and _order(file) is not None:
            name = posixpath.basename(by.absolute)
            yield Hit(file.at(*path), f"{quoted(_prefix(table))} is replaced by {name}")


def _last(project: Project) -> dict[tuple[str, str], TomlFile]:
    """For each directory and prefix, the file that is read last."""
    files = [f for f in project.of_kind(Kind.REGISTRIES, TomlFile) if _order(f) is not None]
    ordered = sorted(files, key=lambda file: _order(file) or (False, ""))
    return {(_place(f), _prefix(table)): f for f in ordered for _, table in registries(f)}


def _order(file: TomlFile) -> tuple[bool, str] | None:
    """The sort key of a file in reading order; None if it is not read."""
    directory, name = posixpath.split(file.absolute)
    if posixpath.basename(directory) == "registries.conf.d":
        return (True, name) if name.endswith(".conf") else None
    return (False, name) if name == "registries.conf" else None


def _place(file: TomlFile) -> str:
    directory = posixpath.dirname(file.absolute)
    inside = posixpath.basename(directory) == "registries.conf.d"
    return posixpath.dirname(directory) if inside else directory


@rules("PPR027")
def bad_alias(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
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


@rules("PPR028", fixable=True)
def hub_under_another_name(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, table in registries(file):
        host = _prefix(table).partition("/")[0]
        if host in _HUB_HOSTS:
            key = "prefix" if table.get("prefix") else "location"
            value = str(table[key]).replace(host, "docker.io", 1)
            edits = (SetValue((*path, key), value),)
            yield Hit(file.at(*path, key), f"no image name contains {quoted(host)}", edits=edits)


@rules("PPR029")
def digests_only(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, table in registries(file):
        if table.get("mirror-by-digest-only") is True and table.get("mirror"):
            what = f"mirrors of {quoted(_prefix(table))} are used for digests only"
            yield Hit(file.at(*path, "mirror-by-digest-only"), what)
