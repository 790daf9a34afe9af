"""``registries.conf`` (version 2, and version 1 converted to it) with its drop-in directory.

An invalid file fails the pull before any request. Format:
https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from harness.nodes.models.toml_statements import InvalidTOML, Statement, read_toml, statements

__all__ = [
    "InvalidRegistriesConf",
    "Mirror",
    "NotVersion2",
    "RegistriesConf",
    "RegistryEntry",
    "as_version_2",
    "read_registries_conf",
]


_LISTS = ("search", "insecure", "block")
_VERSION_2 = (
    *("registry", "unqualified-search-registries", "credential-helpers"),
    *("short-name-mode", "aliases"),
)


class NotVersion2(ValueError):
    """The file is valid in neither version; ``path`` is the key at fault."""

    def __init__(self, reason: str, *path: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


def as_version_2(document: Mapping[str, Any], *, is_drop_in: bool) -> Mapping[str, Any]:
    """*document* converted to version 2; unchanged if it has nothing of version 1.

    Raises :class:`NotVersion2`.
    """
    lists = {name: _names(document, name) for name in _LISTS}
    if not any(lists.values()):
        return document
    if is_drop_in:
        raise NotVersion2("registry must be in v2 format but is in v1", "registries")
    if any(document.get(key) for key in _VERSION_2):
        raise NotVersion2("mixing sysregistry v1/v2 is not supported", "registries")
    blocked, insecure = ({one.rstrip("/") for one in lists[n]} for n in ("block", "insecure"))
    locations = dict.fromkeys(one.rstrip("/") for one in (*lists["block"], *lists["insecure"]))
    return {
        "unqualified-search-registries": list(lists["search"]),
        "registry": [
            {"location": one, "blocked": one in blocked, "insecure": one in insecure}
            for one in locations
        ],
    }


def _names(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    table = document.get("registries", {})
    for part in (name, "registries"):
        if not isinstance(table, dict):
            raise NotVersion2(f"`registries.{name}` must be a table", "registries")
        table = table.get(part, {} if part == name else [])
    if not isinstance(table, list) or not all(isinstance(item, str) for item in table):
        reason = f"`registries.{name}.registries` must be a list of strings"
        raise NotVersion2(reason, "registries", name)
    return tuple(table)


T = TypeVar("T")
Usage = Literal["all", "digest-only", "tag-only"]
_USAGES: tuple[Usage, ...] = ("all", "digest-only", "tag-only")


class InvalidRegistriesConf(ValueError):
    """An error that fails all pulls, with ``file`` and ``line`` (from 1) if known."""

    def __init__(self, reason: str, file: str | None = None, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file
        self.line = line


@dataclass(frozen=True)
class Mirror:
    """One ``[[registry.mirror]]``."""

    location: str
    insecure: bool = False
    usage: Usage = "all"
    """``pull-from-mirror``."""
    line: int | None = None


@dataclass(frozen=True)
class RegistryEntry:
    """One ``[[registry]]``."""

    prefix: str
    location: str
    insecure: bool = False
    blocked: bool = False
    mirror_by_digest_only: bool = False
    mirrors: tuple[Mirror, ...] = ()
    file: str | None = None
    line: int | None = None

    def match(self, reference: str) -> int | None:
        """How many characters of *reference* the prefix covers; None if it does not match.

        A prefix must end at a ``/``, ``:`` or ``@`` (or at the end), which lets ``reg.example``
        match ``reg.example:5000/app`` too. ``*.reg.example`` matches every subdomain.
        """
        if self.prefix.startswith("*."):
            start = reference.find(self.prefix[1:])
            if start < 0 or "/" in reference[:start]:
                return None
            end = start + len(self.prefix) - 1
        elif reference.startswith(self.prefix):
            end = len(self.prefix)
        else:
            return None
        return end if end == len(reference) or reference[end] in ":/@" else None


@dataclass(frozen=True)
class RegistriesConf:
    """All files together."""

    registries: tuple[RegistryEntry, ...] = ()
    unqualified_search: tuple[str, ...] = ()
    short_name_mode: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Full names by short name."""

    def registry_for(self, reference: str) -> RegistryEntry | None:
        """The registry whose prefix matches and is longest."""
        matching = [r for r in self.registries if r.match(reference) is not None]
        return max(matching, key=lambda registry: len(registry.prefix), default=None)


def read_registries_conf(text: str, drop_ins: Mapping[str, str] | None = None) -> RegistriesConf:
    """The configuration in *text* and in the files of ``registries.conf.d``.

    Drop-ins are read in alphabetical order; each replaces the registries whose prefix it names, and
    adds to the rest. Only names that end in ``.conf`` count. Raises
    :class:`InvalidRegistriesConf`.
    """
    config = _read(text, "registries.conf")
    for name in sorted(drop_ins or ()):
        if name.endswith(".conf"):
            config = _updated(config, _read((drop_ins or {})[name], f"registries.conf.d/{name}"))
    return config


def _updated(config: RegistriesConf, later: RegistriesConf) -> RegistriesConf:
    replaced = {registry.prefix for registry in later.registries}
    kept = tuple(r for r in config.registries if r.prefix not in replaced)
    return RegistriesConf(
        registries=kept + later.registries,
        unqualified_search=later.unqualified_search or config.unqualified_search,
        short_name_mode=later.short_name_mode or config.short_name_mode,
        aliases={**config.aliases, **later.aliases},
    )


def _read(text: str, file: str) -> RegistriesConf:
    try:
        document = read_toml(text)
    except InvalidTOML as error:
        raise InvalidRegistriesConf(f"invalid TOML: {error.reason}", file, error.line) from None
    reader = _Reader(file, text)
    try:
        document = dict(as_version_2(document, is_drop_in=file != "registries.conf"))
    except NotVersion2 as error:
        raise reader.invalid(error.reason, *error.path) from None
    lines = itertools.chain(reader.headers("registry"), itertools.repeat(reader.line("registries")))
    registries = tuple(
        _registry(reader, values, line)
        for values, line in zip(reader.tables(document, "registry"), lines, strict=False)
    )
    _reject_conflicts(registries)
    aliases = document.get("aliases", {})
    if not isinstance(aliases, dict) or not all(isinstance(v, str) for v in aliases.values()):
        raise reader.invalid("`aliases` must be a table of strings", "aliases")
    return RegistriesConf(
        registries=registries,
        unqualified_search=reader.strings(document, "unqualified-search-registries"),
        short_name_mode=reader.typed(document, "short-name-mode", str, ""),
        aliases=aliases,
    )


def _reject_conflicts(registries: Iterable[RegistryEntry]) -> None:
    seen: dict[str, RegistryEntry] = {}
    for registry in registries:
        first = seen.setdefault(registry.prefix, registry)
        for name in ("insecure", "blocked"):
            if getattr(first, name) != getattr(registry, name):
                raise InvalidRegistriesConf(
                    f"registry '{registry.location}' is defined multiple times with conflicting "
                    f"'{name}' setting",
                    registry.file,
                    registry.line,
                )


def _registry(reader: _Reader, values: Mapping[str, Any], line: int | None) -> RegistryEntry:
    location = reader.location(values, "location", line)
    prefix = reader.location(values, "prefix", line)
    if not prefix:
        if not location:
            raise reader.at(line, "invalid condition: both location and prefix are unset")
        prefix = location
    elif not location and not prefix.startswith("*."):
        raise reader.at(
            line,
            "invalid condition: location is unset and prefix is not in the format: *.example.com",
        )
    if "pull-from-mirror" in values:
        raise reader.at(
            line, f'pull-from-mirror must not be set for a non-mirror registry "{prefix}"'
        )
    by_digest_only = reader.typed(values, "mirror-by-digest-only", bool, False, line)
    lines = itertools.chain(
        reader.headers("registry", "mirror", after=line), itertools.repeat(line)
    )
    mirrors = tuple(
        _mirror(reader, mirror, prefix, by_digest_only, at)
        for mirror, at in zip(reader.tables(values, "mirror", line), lines, strict=False)
    )
    return RegistryEntry(
        prefix=prefix,
        location=location,
        insecure=reader.typed(values, "insecure", bool, False, line),
        blocked=reader.typed(values, "blocked", bool, False, line),
        mirror_by_digest_only=by_digest_only,
        mirrors=mirrors,
        file=reader.file,
        line=line,
    )


def _mirror(
    reader: _Reader, values: Mapping[str, Any], prefix: str, by_digest_only: bool, line: int | None
) -> Mirror:
    location = reader.location(values, "location", line)
    if not location:
        raise reader.at(line, "invalid condition: mirror location is unset")
    usage = reader.typed(values, "pull-from-mirror", str, "", line)
    if by_digest_only and usage:
        raise reader.at(
            line,
            f'cannot set mirror usage mirror-by-digest-only for the registry ("{prefix}") and '
            f'pull-from-mirror for per-mirror ("{location}") at the same time',
        )
    for known in _USAGES:
        if (usage or "all") == known:
            insecure = reader.typed(values, "insecure", bool, False, line)
            return Mirror(location, insecure, known, line)
    raise reader.at(line, f'unsupported pull-from-mirror value "{usage}" for mirror "{location}"')


class _Reader:
    """Typed look-ups in one file; every error has the file and a line."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._statements: tuple[Statement, ...] = tuple(statements(text))

    def headers(self, *path: str, after: int | None = None) -> list[int | None]:
        """The lines of the ``[[path]]`` headers, from line *after* on."""
        return [
            s.line
            for s in self._statements
            if s.kind == "array" and s.path == path and s.line >= (after or 0)
        ]

    def tables(
        self, values: Mapping[str, Any], key: str, line: int | None = None
    ) -> list[Mapping[str, Any]]:
        """An array of tables, empty if absent."""
        found = values.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self.at(line, f"`{key}` must be an array of tables, [[{key}]]")
        return found

    def strings(self, values: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """A list of strings, empty if absent."""
        found = values.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise self.invalid(f"`{key}` must be a list of strings", key)
        return tuple(found)

    def typed(
        self,
        values: Mapping[str, Any],
        key: str,
        kind: type[T],
        default: T,
        line: int | None = None,
    ) -> T:
        """A value of *kind*, or *default* if absent."""
        found = values.get(key, default)
        if not isinstance(found, kind):
            raise self.at(line, f"`{key}` must be a {kind.__name__}")
        return found

    def location(self, values: Mapping[str, Any], key: str, line: int | None) -> str:
        """A host with an optional path, without a scheme and without a final slash."""
        location = self.typed(values, key, str, "", line).rstrip("/")
        if location.startswith(("http://", "https://")):
            raise self.at(line, f"invalid location {location!r}: URI schemes are not supported")
        return location

    def at(self, line: int | None, reason: str) -> InvalidRegistriesConf:
        """The error for *line*."""
        return InvalidRegistriesConf(reason, self.file, line)

    def invalid(self, reason: str, *path: str) -> InvalidRegistriesConf:
        """The error for the value at *path*."""
        return InvalidRegistriesConf(reason, self.file, self.line(*path))

    def line(self, *path: str) -> int | None:
        """The line of *path*."""
        depth = len(path)
        return next((s.line for s in self._statements if s.path[:depth] == path), None)
