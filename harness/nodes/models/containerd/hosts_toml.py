"""One ``hosts.toml``: which hosts it lists, in which order, and what makes it invalid.

An invalid file does not fail the pull: containerd logs it and continues without it (and uses
certificates in its directory). Format:
https://github.com/containerd/containerd/blob/main/docs/hosts.md
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.files import FileProblem
from harness.nodes.models.go_url import InvalidURL, clean_path, join_path, parse_url
from harness.nodes.models.toml_statements import InvalidTOML, is_a, read_toml, statements


class Capability(StrEnum):
    """What containerd may request from a host."""

    PULL = "pull"
    RESOLVE = "resolve"
    PUSH = "push"
    REFERRERS = "referrers"


ALL_CAPABILITIES = frozenset(Capability)


class InvalidHostsFile(FileProblem):
    """Why the whole file is ignored."""


class DaemonPanics(InvalidHostsFile):
    """A file that crashes containerd."""


@dataclass(frozen=True, kw_only=True)
class HostEntry:
    """One host of a file; the server is the last, with an empty ``host`` if none is set."""

    scheme: str = ""
    host: str = ""
    path: str = ""
    capabilities: frozenset[Capability] = ALL_CAPABILITIES
    skip_verify: bool | None = None
    ca: tuple[str, ...] | None = None
    """Absolute paths. An empty list is not the same as no key: it counts as a TLS setting."""
    client: tuple[tuple[str, str | None], ...] = ()
    """Certificate and key files; None if one file has both."""
    header: Mapping[str, tuple[str, ...]] | None = None
    dial_timeout: float | None = None
    """In seconds."""
    line: int | None = None
    """The line that first mentions the host, or sets ``server``."""

    @property
    def has_tls_settings(self) -> bool:
        """Whether the entry has any TLS setting, even ``skip_verify = false``."""
        return self.skip_verify is not None or self.ca is not None or bool(self.client)


@dataclass(frozen=True)
class HostsFile:
    """The entries in the order in which they are tried."""

    entries: tuple[HostEntry, ...]
    unordered: int = 0
    """The number of entries at the front that are in random order at each read."""
    unseen: tuple[str, ...] = ()
    """Hosts in the file that this release ignores."""


def parse_hosts_toml(text: str, directory: str, release: Release) -> HostsFile:
    """The file *text* in *directory*, as *release* reads it.

    Raises :class:`InvalidHostsFile` if containerd ignores the file, and :class:`DaemonPanics` if
    the file crashes containerd.
    """
    if release.accepts_byte_order_mark:
        text = text.removeprefix("\ufeff")
    try:
        document = read_toml(text)
    except InvalidTOML as error:
        raise InvalidHostsFile(f"invalid TOML: {error.reason}", error.line) from None
    root = _Table(document, _Lines(text), (), directory, release)
    if "host" not in document and not release.server_alone_suffices:
        raise InvalidHostsFile("invalid `host` tree: the file has no [host] table")
    hosts = document.get("host", {})
    if not isinstance(hosts, dict):
        raise root.invalid("host", "must be a table")
    order, unordered = _order(hosts, root.lines, release)
    for url, values in hosts.items():
        if not isinstance(values, dict):
            line = root.lines.of("host", url)
            raise InvalidHostsFile(f"[host] {url[:200]!r} must be a table", line)
    tables = {url: replace(root, values=hosts[url], path=("host", url)) for url in hosts}
    for table in (root, *tables.values()):
        # A wrong type makes the whole file invalid, even in a host that is not used.
        for key in _ALWAYS_CHECKED:
            table.get(key)
    entries = [_entry(url, tables[url]) for url in order]
    server = _entry(root.get("server") or "", root)
    unseen = tuple(url for url in hosts if url not in order)
    return HostsFile((*entries, server), unordered, unseen)


# -- order --------------------------------------------------------------------------------------
class _Lines:
    """Positions of keys in one file."""

    def __init__(self, text: str) -> None:
        self.headers: list[tuple[str, ...]] = []
        """The ``[table]`` headers in file order."""
        self.assigned: set[tuple[str, ...]] = set()
        """The keys before an equals sign; a table among them is an inline table."""
        self._first: dict[tuple[str, ...], int] = {}
        for statement in statements(text):
            if statement.kind == "table":
                self.headers.append(statement.path)
            elif statement.kind == "pair":
                self.assigned.add(statement.path)
            for depth in range(1, min(len(statement.path), _DEEPEST) + 1):
                self._first.setdefault(statement.path[:depth], statement.line)

    def of(self, *path: str) -> int | None:
        """The first line that mentions *path* or a key below it."""
        return self._first.get(path)


_DEEPEST = 3
"""Parts of a key that matter: ``host``, the URL, and the key in its table."""


def _order(hosts: Mapping[str, Any], lines: _Lines, release: Release) -> tuple[list[str], int]:
    """The hosts' URLs in order, and how many at the front are in random order."""
    if release.host_tables == "headers":
        named = [path[1] for path in lines.headers if len(path) > 1 and path[0] == "host"]
        return [url for url, _ in itertools.groupby(named)], 0
    if len(hosts) > 1 and not all(isinstance(host, dict) for host in hosts.values()):
        raise DaemonPanics("a key of [host] is not a table, and there is another key")
    inline = [url for url in hosts if {("host",), ("host", url)} & lines.assigned]
    placed = sorted(hosts.keys() - set(inline), key=lambda url: lines.of("host", url) or 0)
    return inline + placed, len(inline) if len(inline) > 1 else 0


# -- values -------------------------------------------------------------------------------------
_KINDS = {
    "capabilities": "a list of strings",
    "skip_verify": "true or false",
    "override_path": "true or false",
    "header": "a table",
    "dial_timeout": "a string",
    "server": "a string",
}
_ALWAYS_CHECKED = ("capabilities", "skip_verify", "override_path", "header", "dial_timeout")


@dataclass(frozen=True)
class _Table:
    """A table of the file and how its keys are looked up and checked."""

    values: Mapping[str, Any]
    lines: _Lines
    path: tuple[str, ...]
    directory: str
    release: Release

    @property
    def first_line(self) -> int | None:
        """The line that first mentions the host; for the root, the line of ``server``."""
        return self.lines.of(*self.path or ("server",))

    def get(self, key: str) -> Any:
        """The value of *key* in a letter case that the release accepts; None if it is absent or
        unknown to the release. Raises :class:`InvalidHostsFile` for a wrong type."""
        if key == "dial_timeout" and not self.release.reads_dial_timeout:
            return None
        any_case = self.release.key_case == "any"
        same = [k for k in self.values if k == key.upper() or (any_case and k.lower() == key)]
        value = self.values.get(key, self.values[same[0]] if same else None)
        kind = _KINDS.get(key)
        if value is not None and kind is not None and not is_a(value, kind):
            raise self.invalid(key, f"must be {kind}")
        return value

    def listed(self, key: str) -> list[Any] | None:
        """A list, or a string as a list of one; None if absent."""
        value = self.get(key)
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list | None):
            raise self.invalid(key, "must be a file name or a list")
        return value

    def file(self, name: str) -> str:
        """The path of a file, which is relative to the directory of hosts.toml."""
        return name if name.startswith("/") else join_path(self.directory, name)

    def invalid(self, key: str, problem: str) -> InvalidHostsFile:
        """The error for a bad value of *key*."""
        line = self.lines.of(*self.path, key) or self.lines.of(*self.path)
        return InvalidHostsFile(f"`{key}` {problem}", line)


def _entry(url: str, table: _Table) -> HostEntry:
    scheme, host, path = _location(url, table)
    return HostEntry(
        scheme=scheme,
        host=host,
        path=path,
        capabilities=_capabilities(table),
        skip_verify=table.get("skip_verify"),
        ca=_ca(table),
        client=_client(table),
        header=_header(table),
        dial_timeout=_dial_timeout(table),
        line=table.first_line,
    )


def _location(url: str, table: _Table) -> tuple[str, str, str]:
    """Scheme, host with port, and path of the API's root. User and query are dropped."""
    if not url:
        return "", "", ""
    try:
        parsed = parse_url(url if url.startswith("http") else f"https://{url}")
    except InvalidURL as error:
        reason = f"unable to parse server {url[:200]!r}: {error}"
        raise InvalidHostsFile(reason, table.first_line) from None
    path = clean_path(parsed.path) if parsed.path else ""
    if not table.get("override_path") and not path.endswith("/v2"):
        # Not cleaned again: "/" becomes "//v2", which is cleaned when the repository is joined.
        path += "/v2"
    return parsed.scheme, parsed.host, path


def _capabilities(table: _Table) -> frozenset[Capability]:
    names = table.get("capabilities") or []
    for name in names:
        if name.lower() not in table.release.capabilities:
            raise table.invalid("capabilities", f"has an unknown capability {name[:40]!r}")
    return frozenset(Capability(name.lower()) for name in names) or ALL_CAPABILITIES


def _ca(table: _Table) -> tuple[str, ...] | None:
    names = table.listed("ca")
    if names is not None and not is_a(names, "a list of strings"):
        raise table.invalid("ca", "must be a file name or a list of file names")
    return None if names is None else tuple(map(table.file, names))


def _client(table: _Table) -> tuple[tuple[str, str | None], ...]:
    pairs: list[tuple[str, str | None]] = []
    for item in table.listed("client") or ():
        if isinstance(item, str):
            pairs.append((table.file(item), None))
        elif is_a(item, "a list of strings") and len(item) == 2:
            pairs.append((table.file(item[0]), table.file(item[1])))
        else:
            raise table.invalid("client", "must hold file names or pairs [certificate, key]")
    return tuple(pairs)


def _header(table: _Table) -> Mapping[str, tuple[str, ...]] | None:
    header = table.get("header")
    for name, value in (header or {}).items():
        if not isinstance(value, str) and not is_a(value, "a list of strings"):
            raise table.invalid("header", f"{name!r} must be a string or a list of strings")
    if header is None:
        return None
    return {n: (v,) if isinstance(v, str) else tuple(v) for n, v in header.items()}


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_QUANTITY = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"[-+]?(?:0|(?:{_QUANTITY.pattern})+)", re.ASCII)


def _dial_timeout(table: _Table) -> float | None:
    """Go's time.ParseDuration; None if absent, empty, or unknown to the release."""
    text = table.get("dial_timeout")
    if not text:
        return None
    if len(text) > 64 or not _DURATION.fullmatch(text):
        raise table.invalid("dial_timeout", f"is not a duration such as 5s: {text[:64]!r}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _QUANTITY.findall(text))
    return -seconds if text.startswith("-") else seconds
