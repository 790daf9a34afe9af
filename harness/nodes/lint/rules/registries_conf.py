"""registries.conf of podman, skopeo, buildah and CRI-O: what is refused, and what is not read."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import (
    Edit,
    Path,
    RemoveKey,
    RenameKey,
    SetValue,
    Spot,
    nearest,
    quoted,
)
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["mirrors", "registries", "rules"]

rules = Rules(Kind.REGISTRIES, source="containers-registries.conf(5); measured on skopeo 1.9.3")

_DOCS = "containers-registries.conf(5)"
_MEASURED = f"{_DOCS}; measured on skopeo 1.9.3"
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
    """Each ``[[registry]]``, and the way to it."""
    yield from _tables(file.get("registry"), ("registry",))


def mirrors(file: TomlFile) -> Iterator[tuple[Path, dict[str, Any], dict[str, Any]]]:
    """Each ``[[registry.mirror]]``, the way to it, and the registry that it is of."""
    for path, registry in registries(file):
        for below, mirror in _tables(registry.get("mirror"), (*path, "mirror")):
            yield below, mirror, registry


def _tables(value: object, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for number, table in enumerate(value if isinstance(value, list) else ()):
        if isinstance(table, dict):
            yield (*path, number), table


def _locations(file: TomlFile) -> Iterator[tuple[Path, str]]:
    """Every location and prefix that is a text."""
    for path, table in registries(file):
        for key in ("prefix", "location"):
            if isinstance(table.get(key), str):
                yield (*path, key), table[key]
    for path, table, _ in mirrors(file):
        if isinstance(table.get("location"), str):
            yield (*path, "location"), table["location"]


@rules("PPR001", "error")
def version_1(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Version 1 of the format.

    why: [registries.search], [registries.insecure] and [registries.block] do not support mirrors,
        are deprecated, and are rejected in a file that has a [[registry]]
    fix: write unqualified-search-registries, and a [[registry]] for each of the others
    source: containers-registries.conf(5), version 1; mixing them: measured on skopeo 1.9.3
    """
    if "registries" in file.values:
        yield Hit(file.at("registries"), "registries is a key of version 1")


@rules("PPR002", "error", fixable=True)
def with_scheme(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Location or prefix with a scheme.

    why: the file is rejected: cannot use URI schemes. insecure decides whether http is used
    fix: write HOST:PORT or HOST:PORT/PATH
    """
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


@rules("PPR003", "error")
def no_location(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Neither location nor prefix.

    why: the file is rejected: a registry needs a location, unless its prefix begins with *.; a
        mirror always needs one
    fix: add a location
    """
    for path, table in registries(file):
        prefix = table.get("prefix")
        wild = isinstance(prefix, str) and prefix.startswith("*.")
        if not table.get("location") and not wild:
            yield Hit(file.at(*path), "registry without a location")
    for path, table, _ in mirrors(file):
        if not table.get("location"):
            yield Hit(file.at(*path), "mirror without a location")


@rules("PPR004", "error")
def misplaced_star(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Wildcard that is not at the beginning.

    why: only *.HOST is a pattern. If a path or a port follows, the file is rejected; any other * is
        compared literally, and matches no image
    fix: write *.HOST, or a [[registry]] for each
    source: containers-registries.conf(5), choosing a [[registry]] TOML table; measured on skopeo
        1.9.3
    """
    for path, text in _locations(file):
        in_prefix = path[-1] == "prefix"
        rest = text[2:] if in_prefix and text.startswith("*.") else text
        if "*" in rest or (in_prefix and text.startswith("*.") and any(c in rest for c in "/:@")):
            yield Hit(file.at(*path), f"{quoted(text)} matches no image")


@rules("PPR005", "error", fixable=True)
def both_usages(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """mirror-by-digest-only together with pull-from-mirror.

    why: the file is rejected: cannot set both at the same time
    fix: remove mirror-by-digest-only, and set pull-from-mirror for each mirror
    """
    for path, table, registry in mirrors(file):
        if registry.get("mirror-by-digest-only") is True and table.get("pull-from-mirror"):
            same = table["pull-from-mirror"] == "digest-only"
            edits = (RemoveKey((*path, "pull-from-mirror")),) if same else ()
            spot = file.at(*path, "pull-from-mirror")
            yield Hit(spot, "the registry has mirror-by-digest-only", edits=edits)


@rules("PPR006", "error", fixable=True)
def unknown_value(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Unknown value of pull-from-mirror or short-name-mode.

    why: the file is rejected, and nothing can be pulled
    fix: pull-from-mirror is all, digest-only or tag-only; short-name-mode is enforcing, permissive
        or disabled
    """
    asked: list[tuple[Path, object, tuple[str, ...]]] = [
        (("short-name-mode",), file.get("short-name-mode"), ("enforcing", "permissive", "disabled"))
    ]
    usages = ("all", "digest-only", "tag-only")
    for path, table, _ in mirrors(file):
        asked.append(((*path, "pull-from-mirror"), table.get("pull-from-mirror"), usages))
    for path, value, known in asked:
        if isinstance(value, str) and value and value not in known:
            near = nearest(value, known)
            edits = (SetValue(path, near),) if near else ()
            fix = f"did you mean {near}?" if near else ""
            yield Hit(file.at(*path), f"unknown value {quoted(value)}", fix, edits)


@rules("PPR007", "error", fixable=True)
def wrong_type(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Value of the wrong type.

    why: the file is rejected, and nothing can be pulled
    fix: write true or false without quotes, strings in quotes, and lists in brackets
    """
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


@rules("PPR008", "warning", fixable=True)
def unknown_key(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Unknown key.

    why: it has no effect
    fix: check the name in the manual page
    source: containers-registries.conf(5)
    """
    tables: list[tuple[Path, dict[str, Any], tuple[str, ...]]] = [((), file.values, _TOP)]
    tables += [(path, table, _REGISTRY) for path, table in registries(file)]
    tables += [(path, table, _MIRROR) for path, table, _ in mirrors(file)]
    for path, table, known in tables:
        for key in table:
            if key in known or key in {"registries", "pull-from-mirror"}:
                continue  # they have rules of their own
            near = nearest(key, known)
            edits: tuple[Edit, ...] = ()
            if near and near not in table and not isinstance(table[key], dict | list):
                edits = (RenameKey((*path, key), near),)
            fix = f"did you mean {near}?" if near else ""
            yield Hit(file.at(*path, key), f"unknown key {quoted(key)}", fix, edits)


@rules("PPR009", "error")
def no_drop_in(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Drop-in file that is not read.

    why: only files in registries.conf.d that end in .conf are read
    fix: rename it to NAME.conf
    source: containers-registries.conf(5)
    """
    directory = posixpath.basename(posixpath.dirname(file.absolute))
    if directory == "registries.conf.d" and not file.absolute.endswith(".conf"):
        yield Hit(Spot(), f"{quoted(posixpath.basename(file.absolute))} does not end in .conf")


@rules("PPR010", "error")
def usage_of_a_registry(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """pull-from-mirror outside a mirror.

    why: the file is rejected: only mirrors have it
    fix: move it into [[registry.mirror]]
    """
    for path, table in registries(file):
        if "pull-from-mirror" in table:
            yield Hit(file.at(*path, "pull-from-mirror"), "pull-from-mirror outside a mirror")
