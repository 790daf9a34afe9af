"""registries.conf of podman, skopeo, buildah and CRI-O: what is rejected, ignored or surprising."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.documents import TomlFile, TomlTable, is_strings
from harness.nodes.lint.finding import Hit, KeyEdit, Path, Spot, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import Project
from harness.nodes.lint.rule import RuleContext, Rules, misspelt

rules = Rules(Kind.REGISTRIES)

_SEARCH, _MODE = "unqualified-search-registries", "short-name-mode"
_USAGE, _DIGESTS = "pull-from-mirror", "mirror-by-digest-only"
_OTHER_KEYS = ("credential-helpers", "additional-layer-store-auth-helper", "aliases")
_TOP_KEYS = ("registry", _SEARCH, _MODE, *_OTHER_KEYS)
_REGISTRY_KEYS = ("prefix", "location", "insecure", "blocked", "mirror", _DIGESTS)
_MIRROR_KEYS = ("location", "insecure", _USAGE)
_HUB_HOSTS = {"registry-1.docker.io", "index.docker.io", "registry.hub.docker.com"}


def _registries(file: TomlFile, context: object = None) -> Iterator[TomlTable]:
    """Each ``[[registry]]``."""
    return file.tables("registry")


def _mirrors(file: TomlFile, context: object = None) -> Iterator[TomlTable]:
    """Each ``[[registry.mirror]]``."""
    for registry in _registries(file):
        yield from file.tables(*registry.path, "mirror")


def _both(file: TomlFile, context: object = None) -> list[TomlTable]:
    return [*_registries(file), *_mirrors(file)]


def _prefix(table: TomlTable) -> str:
    return (table.string("prefix") or table.string("location")).rstrip("/")


def _location(table: TomlTable) -> str:
    return table.string("location").rstrip("/")


@rules("PPR001", "PPR002", "PPR006", "PPR007", "PPR009", "PPR023", "PPR024")
def top_level(file: TomlFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    if "registries" in file.values:
        yield "PPR001", file.hit("registries", "registries is a key of version 1")
    parent, name = posixpath.split(file.absolute)
    if posixpath.basename(parent) == "registries.conf.d" and not name.endswith(".conf"):
        yield "PPR009", Hit(Spot(), f"{quoted(name)} does not end in .conf")
    for key, form, type_ in (("registry", "[[registry]]", list), ("aliases", "[aliases]", dict)):
        value = file.get(key)
        if value is not None and not isinstance(value, type_):
            yield "PPR007", file.hit(key, f"{key} is not {form}", fix=f"write {form}")
    search = file.get(_SEARCH)
    if search is not None and not is_strings(search):
        edits = [KeyEdit("set", (_SEARCH,), (search,))] if isinstance(search, str) else []
        yield "PPR007", file.hit(_SEARCH, "not a list of strings", *edits)
    names, mode = file.list(_SEARCH), file.string(_MODE)
    for name in names:
        if isinstance(name, str) and name.startswith(("http://", "https://")):
            yield "PPR002", file.hit(_SEARCH, f"{quoted(name)} has a scheme")
    if len(names) > 1:
        first = ", ".join(str(name) for name in names[:4])
        yield "PPR023", file.hit(_SEARCH, f"{len(names)} are tried: {first}")
        if mode in {"permissive", "disabled"}:
            what = f"{mode}, with {len(names)} registries"
            yield "PPR024", file.hit(_MODE, what, KeyEdit("set", (_MODE,), "enforcing"))
    if unknown := _unknown_value(file, (_MODE,), "enforcing", "permissive", "disabled"):
        yield "PPR006", unknown


def _unknown_value(file: TomlFile, path: Path, *known: str) -> Hit | None:
    value = file.string(*path)
    if not value or value in known:
        return None
    return misspelt(file.at(*path), "unknown value", value, known, write=path)


@rules("PPR008")
def unknown_key(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for table in (TomlTable(file), *_both(file)):
        keys = _REGISTRY_KEYS if table.path else _TOP_KEYS
        known = _MIRROR_KEYS if "mirror" in table.path else keys
        for key, value in table.values.items():
            if key in known or key in {"registries", _USAGE}:
                continue  # the last two have rules of their own
            path, values = (*table.path, key), table.values
            rename = path if not isinstance(value, dict | list) else ()
            at = file.at(*path)
            yield misspelt(at, "unknown key", key, known, rename=rename, present=values)


@rules("PPR002", "PPR003", "PPR004", "PPR007", "PPR022", each=_both)
def registry_or_mirror(table: TomlTable, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    kind = "mirror" if "mirror" in table.path else "registry"
    wild = kind == "registry" and table.string("prefix").startswith("*.")
    if not table.get("location") and not wild:
        yield "PPR003", table.hit("", f"{kind} without a location")
    for key in ("location", "prefix") if kind == "registry" else ("location",):
        text, path = table.string(key), (*table.path, key)
        scheme, mark, rest = text.partition("://")
        if mark and scheme in {"http", "https"}:
            edit = KeyEdit("set", path, rest.rstrip("/"))
            yield "PPR002", table.hit(key, f"{quoted(text)} has a scheme", edit)
        in_front = key == "prefix" and text.startswith("*.")
        rest = text[2:] if in_front else text
        if "*" in rest or (in_front and any(c in rest for c in "/:@")):
            yield "PPR004", table.hit(key, f"{quoted(text)} matches no image")
    for key in ("insecure", "blocked", _DIGESTS):
        value = table.get(key)
        if value is not None and not isinstance(value, bool):
            plain = isinstance(value, str) and value in {"true", "false"}
            edits = [KeyEdit("set", (*table.path, key), value == "true")] if plain else []
            yield "PPR007", table.hit(key, f"{key} is not true or false", *edits)
    host = (_location(table) or _prefix(table)).partition("/")[0]
    local = host.startswith(("127.", "localhost", "[::1]"))
    if table.get("insecure") is True and not local:
        yield "PPR022", table.hit("insecure", f"the certificate of {quoted(host)} is not checked")


@rules("PPR005", "PPR006", "PPR021", each=_mirrors)
def mirror(mirror: TomlTable, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    registry, usage = TomlTable(mirror.file, mirror.path[:2]), mirror.get(_USAGE)
    if registry.get(_DIGESTS) is True and usage:
        edits = [KeyEdit("remove", (*mirror.path, _USAGE))] if usage == "digest-only" else []
        yield "PPR005", mirror.hit(_USAGE, f"the registry has {_DIGESTS}", *edits)
    path = (*mirror.path, _USAGE)
    if unknown := _unknown_value(mirror.file, path, "all", "digest-only", "tag-only"):
        yield "PPR006", unknown
    own = _location(registry) or _prefix(registry)
    if own and _location(mirror) == own:
        yield "PPR021", mirror.hit("location", f"{quoted(own)} is the registry itself")


@rules("PPR010", "PPR020", "PPR026", "PPR028", "PPR029", each=_registries)
def registry(registry: TomlTable, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    file, prefix = registry.file, _prefix(registry)
    if _USAGE in registry.values:
        yield "PPR010", registry.hit(_USAGE, f"{_USAGE} outside a mirror")
    if registry.get("blocked") is True and registry.get("mirror"):
        what = f"{quoted(prefix)} is blocked, but its mirrors are not"
        yield "PPR020", registry.hit("blocked", what)
    if registry.get(_DIGESTS) is True and registry.get("mirror"):
        what = f"mirrors of {quoted(prefix)} are used for digests only"
        yield "PPR029", registry.hit(_DIGESTS, what)
    host = prefix.partition("/")[0]
    if host in _HUB_HOSTS:
        key = "prefix" if registry.string("prefix") else "location"
        edit = KeyEdit(
            "set", (*registry.path, key), registry.string(key).replace(host, "docker.io", 1)
        )
        yield "PPR028", registry.hit(key, f"no image name contains {quoted(host)}", edit)
    last = context.project.once("last registries", lambda: _last(context.project))
    by = last.get((_place(file), prefix), file)
    if by is not file and _order(file) is not None:
        name = posixpath.basename(by.absolute)
        yield "PPR026", registry.hit("", f"{quoted(prefix)} is replaced by {name}")


def _last(project: Project) -> dict[tuple[str, str], TomlFile]:
    """For each directory and prefix, the file that is read last."""
    files = [f for f in project.of_kind(Kind.REGISTRIES, TomlFile) if _order(f) is not None]
    ordered = sorted(files, key=lambda file: _order(file) or (False, ""))
    return {(_place(file), _prefix(table)): file for file in ordered for table in _registries(file)}


def _order(file: TomlFile) -> tuple[bool, str] | None:
    """The sort key of a file in reading order; None if it is not read."""
    directory, name = posixpath.split(file.absolute)
    if posixpath.basename(directory) == "registries.conf.d":
        return (True, name) if name.endswith(".conf") else None
    return (False, name) if name == "registries.conf" else None


def _place(file: TomlFile) -> str:
    return posixpath.dirname(file.absolute).removesuffix("/registries.conf.d")


@rules("PPR025")
def duplicates(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    seen: set[str] = set()
    for registry in _registries(file):
        prefix = _prefix(registry)
        if prefix and prefix in seen:
            yield registry.hit("", f"duplicate registry {quoted(prefix)}")
        seen.add(prefix)


@rules("PPR027")
def bad_alias(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for name, value in file.table("aliases").items():
        at = ("aliases", name)
        if not isinstance(value, str):
            yield file.hit(at, f"the value of {quoted(name)} is not a string")
            continue
        first, slash, rest = value.partition("/")
        registry = slash and ("." in first or ":" in first or first == "localhost")
        if value and (not registry or ":" in rest or "@" in rest):
            yield file.hit(at, f"{quoted(name)} stands for {quoted(value)}")
        elif any(mark in name for mark in ":@") or "." in name.partition("/")[0]:
            yield file.hit(at, f"{quoted(name)} is not a short name")
