"""``registries.conf`` (version 2, and version 1 converted to it) with its drop-in directory.

An invalid file fails the pull before any request. Format:
https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.nodes.models.files import FileProblem
from harness.nodes.models.toml_statements import InvalidTOML, is_a, read_toml, statements


class InvalidRegistriesConf(FileProblem):
    """An error that fails all pulls."""


@dataclass(frozen=True)
class Mirror:
    """One ``[[registry.mirror]]``."""

    location: str
    insecure: bool = False
    usage: Literal["all", "digest-only", "tag-only"] = "all"
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
        aliases={**config.aliases, **later.aliases},
    )


# -- one file -----------------------------------------------------------------------------------
_REGISTRY_KEYS = {
    "prefix": str,
    "location": str,
    "insecure": bool,
    "blocked": bool,
    "mirror-by-digest-only": bool,
}
_MIRROR_KEYS = {"location": str, "insecure": bool, "pull-from-mirror": str}
_VERSION_1 = ("search", "insecure", "block")
_VERSION_2 = (
    *("registry", "unqualified-search-registries", "credential-helpers"),
    *("short-name-mode", "aliases"),
)


def _read(text: str, file: str) -> RegistriesConf:
    try:
        document = read_toml(text)
    except InvalidTOML as error:
        raise InvalidRegistriesConf(f"invalid TOML: {error.reason}", error.line, file) from None
    return _File(file, text).read(document)


class _File:
    """One file. Every error has its name and a line."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._statements = tuple(statements(text))

    def read(self, document: Mapping[str, Any]) -> RegistriesConf:
        """The settings in *document*."""
        document = self._as_version_2(document)
        searched = document.get("unqualified-search-registries", [])
        if not is_a(searched, "a list of strings"):
            key = "unqualified-search-registries"
            raise self._invalid(f"`{key}` must be a list of strings", self._line(key))
        aliases = document.get("aliases", {})
        if not isinstance(aliases, dict) or not is_a([*aliases.values()], "a list of strings"):
            raise self._invalid("`aliases` must be a table of strings", self._line("aliases"))
        fallback = self._line("registries")
        registries = tuple(
            self._registry(values, line)
            for values, line in self._tables(document, "registry", fallback, "registry")
        )
        self._reject_conflicts(registries)
        self._typed(document, {"short-name-mode": str}, None)
        return RegistriesConf(registries, tuple(searched), aliases)

    def _as_version_2(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """*document* converted to version 2; unchanged if it has nothing of version 1."""
        lists = {name: self._version_1_list(document, name) for name in _VERSION_1}
        if not any(lists.values()):
            return document
        line = self._line("registries")
        if self._name != "registries.conf":
            raise self._invalid("registry must be in v2 format but is in v1", line)
        if any(document.get(key) for key in _VERSION_2):
            raise self._invalid("mixing sysregistry v1/v2 is not supported", line)
        blocked, insecure = ({one.rstrip("/") for one in lists[n]} for n in ("block", "insecure"))
        locations = dict.fromkeys(one.rstrip("/") for one in (*lists["block"], *lists["insecure"]))
        return {
            "unqualified-search-registries": lists["search"],
            "registry": [
                {"location": one, "blocked": one in blocked, "insecure": one in insecure}
                for one in locations
            ],
        }

    def _version_1_list(self, document: Mapping[str, Any], name: str) -> list[str]:
        """``registries.NAME.registries``."""
        table = document.get("registries", {})
        for part in (name, "registries"):
            if not isinstance(table, dict):
                line = self._line("registries")
                raise self._invalid(f"`registries.{name}` must be a table", line)
            table = table.get(part, {} if part == name else [])
        if not is_a(table, "a list of strings"):
            reason = f"`registries.{name}.registries` must be a list of strings"
            raise self._invalid(reason, self._line("registries", name))
        return list(table)

    def _registry(self, values: Mapping[str, Any], line: int | None) -> RegistryEntry:
        found = self._typed(values, _REGISTRY_KEYS, line)
        location, prefix = found["location"], found["prefix"] or found["location"]
        by_digest_only = found["mirror-by-digest-only"]
        problem = ""
        if not prefix:
            problem = "invalid condition: both location and prefix are unset"
        elif not location and not prefix.startswith("*."):
            wanted = "prefix is not in the format: *.example.com"
            problem = f"invalid condition: location is unset and {wanted}"
        elif "pull-from-mirror" in values:
            problem = f'pull-from-mirror must not be set for a non-mirror registry "{prefix}"'
        if problem:
            raise self._invalid(problem, line)
        mirrors = tuple(
            self._mirror(mirror, prefix, by_digest_only, at)
            for mirror, at in self._tables(values, "mirror", line, "registry", "mirror")
        )
        flags = (found["insecure"], found["blocked"], by_digest_only)
        return RegistryEntry(prefix, location, *flags, mirrors, self._name, line)

    def _mirror(
        self, values: Mapping[str, Any], prefix: str, by_digest_only: bool, line: int | None
    ) -> Mirror:
        found = self._typed(values, _MIRROR_KEYS, line)
        location, usage = found["location"], found["pull-from-mirror"]
        problem = ""
        if not location:
            problem = "invalid condition: mirror location is unset"
        elif by_digest_only and usage:
            problem = (
                f'cannot set mirror usage mirror-by-digest-only for the registry ("{prefix}") and '
                f'pull-from-mirror for per-mirror ("{location}") at the same time'
            )
        elif usage not in {"", "all", "digest-only", "tag-only"}:
            problem = f'unsupported pull-from-mirror value "{usage}" for mirror "{location}"'
        if problem:
            raise self._invalid(problem, line)
        return Mirror(location, found["insecure"], usage or "all", line)

    def _reject_conflicts(self, registries: Iterable[RegistryEntry]) -> None:
        seen: dict[str, RegistryEntry] = {}
        for one in registries:
            first = seen.setdefault(one.prefix, one)
            for name in ("insecure", "blocked"):
                if getattr(first, name) != getattr(one, name):
                    raise self._invalid(
                        f"registry '{one.location}' is defined multiple times with conflicting "
                        f"'{name}' setting",
                        one.line,
                    )

    # -- values and lines -----------------------------------------------------------------------
    def _tables(
        self, values: Mapping[str, Any], key: str, line: int | None, *header: str
    ) -> list[tuple[Mapping[str, Any], int | None]]:
        """The tables of *key* with the lines of their ``[[header]]`` after *line*; *line* for those
        without one."""
        tables = values.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
            raise self._invalid(f"`{key}` must be an array of tables, [[{key}]]", line)
        lines = [
            s.line
            for s in self._statements
            if s.kind == "array" and s.path == header and s.line >= (line or 0)
        ]
        return [(t, lines[n] if n < len(lines) else line) for n, t in enumerate(tables)]

    def _typed(
        self, values: Mapping[str, Any], kinds: Mapping[str, type], line: int | None
    ) -> dict[str, Any]:
        """The value of each key, empty if absent. Locations have no scheme and no final slash."""
        found = {key: values.get(key, kind()) for key, kind in kinds.items()}
        for key, kind in kinds.items():
            if not isinstance(found[key], kind):
                raise self._invalid(f"`{key}` must be a {kind.__name__}", line)
            if key in {"prefix", "location"}:
                found[key] = location = found[key].rstrip("/")
                if location.startswith(("http://", "https://")):
                    reason = f"invalid location {location!r}: URI schemes are not supported"
                    raise self._invalid(reason, line)
        return found

    def _invalid(self, reason: str, line: int | None) -> InvalidRegistriesConf:
        return InvalidRegistriesConf(reason, line, self._name)

    def _line(self, *path: str) -> int | None:
        depth = len(path)
        return next((s.line for s in self._statements if s.path[:depth] == path), None)
