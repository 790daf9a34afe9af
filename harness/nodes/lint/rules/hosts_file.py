"""hosts.toml: mistakes that make containerd ignore the file, a host or a key."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import (
    AddKey,
    AsHeaders,
    ReplaceText,
    SetValue,
    nearest,
    quoted,
)
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules, misspelt

__all__ = ["capabilities_of", "rules", "server_of", "tables"]

rules = Rules(Kind.HOSTS)


def tables(file: TomlFile) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """The top level and each host, which may have the same keys."""
    yield (), file.values
    for url, values in file.table("host").items():
        if isinstance(values, dict):
            yield ("host", url), values


def server_of(file: TomlFile) -> str:
    """``server``; empty if it is missing or not a string."""
    server = file.get("server")
    return server if isinstance(server, str) else ""


def capabilities_of(values: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names in lower case, as containerd compares them; None if it is not a list."""
    given = values.get("capabilities")
    return tuple(str(name).lower() for name in given) if isinstance(given, list) else None


@rules("PPH001", by="containerd", fixable=True)
def only_server(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if file.values and "host" not in file.values and not context.containerd.server_alone_suffices:
        yield Hit(
            file.at("server"),
            "no [host] table: the whole file is ignored",
            edits=(AddKey(("host",), None),),
        )


def _unseen_hosts(file: TomlFile) -> list[str]:
    """Hosts that are inline tables or dotted keys."""
    headers = {s.path[1] for s in file.statements if s.kind != "pair" and len(s.path) > 1}
    return [
        url
        for url, values in file.table("host").items()
        if isinstance(values, dict) and url not in headers
    ]


@rules("PPH002", by="containerd", fixable=True)
def host_without_header(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    unseen = _unseen_hosts(file)
    if context.containerd.host_tables == "headers":
        for url in unseen:
            what = f"containerd does not see {quoted(url)}"
            yield Hit(file.at("host", url), what, edits=(AsHeaders(("host",)),))
        return
    pairs = {s.path for s in file.statements if s.kind == "pair"}
    inline = [url for url in unseen if pairs & {("host",), ("host", url)}]
    if len(inline) > 1:
        what = f"{len(inline)} inline tables are tried in random order"
        yield Hit(file.at("host", inline[0]), what, edits=(AsHeaders(("host",)),))


@rules("PPH009", by="containerd")
def scattered_tables(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if context.containerd.host_tables != "headers":
        return
    headers = [s for s in file.statements if s.kind == "table" and s.path[:1] == ("host",)]
    seen: set[str] = set()
    groups = itertools.groupby((s for s in headers if len(s.path) > 1), lambda s: s.path[1])
    for url, group in groups:
        first = next(group)
        if url in seen:
            yield Hit(file.at(*first.path), f"{quoted(url)} is tried twice")
        seen.add(url)


@rules("PPH010", by="containerd", fixable=True)
def byte_order_mark(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if file.text.startswith("\ufeff") and not context.containerd.accepts_byte_order_mark:
        yield Hit(
            file.at(),
            "the file begins with a byte order mark",
            edits=(ReplaceText(1, "\ufeff", ""),),
        )


@rules("PPH011")
def bad_url(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    from harness.nodes.models.go_url import InvalidURL, parse_url

    server = file.get("server")
    named = [("host", url) for url in file.table("host")]
    urls = [(("server",), server)] if isinstance(server, str) and server else []
    for path, url in [*urls, *((path, path[1]) for path in named)]:
        try:
            parse_url(url if url.startswith("http") else f"https://{url}")
        except InvalidURL:
            yield Hit(file.at(*path), f"invalid URL {quoted(url)}")


_KEYS = ("server", "host")
_TABLE_KEYS = (
    "capabilities",
    "skip_verify",
    "ca",
    "client",
    "header",
    "override_path",
    "dial_timeout",
)
_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)


@rules("PPH003", by="containerd", fixable=True)
def unknown_capability(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    known = context.containerd.capabilities
    for path, values in tables(file):
        given: Any = values.get("capabilities")
        if not isinstance(given, list):
            continue
        for name in given:
            if isinstance(name, str) and name.lower() not in known and name.lower() != "referrers":
                near = nearest(name, known)
                meant = tuple(near if item == name else item for item in given)
                where = (*path, "capabilities")
                fix = f"did you mean {near}?" if near else ""
                edits = (SetValue(where, meant),) if near else ()
                yield Hit(file.at(*where), f"unknown capability {quoted(name)}", fix, edits)


@rules("PPH004", by="containerd", fixable=True)
def referrers_too_early(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if "referrers" in context.containerd.capabilities:
        return
    for path, values in tables(file):
        given = values.get("capabilities")
        if isinstance(given, list) and "referrers" in [str(name).lower() for name in given]:
            kept = tuple(name for name in given if str(name).lower() != "referrers")
            where = (*path, "capabilities")
            yield Hit(file.at(*where), "referrers is not supported", edits=(SetValue(where, kept),))


@rules("PPH005", by="containerd", fixable=True)
def wrong_type(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    hosts = file.get("host")
    if hosts is not None and not isinstance(hosts, dict):
        yield Hit(file.at("host"), "host must be a table")
        return
    for url, values in (hosts or {}).items():
        if not isinstance(values, dict):
            yield Hit(file.at("host", url), f"[host] {quoted(url)} must be a table")
    server = file.get("server")
    if server is not None and not isinstance(server, str):
        yield Hit(file.at("server"), "server must be a string")
    for path, values in tables(file):
        for key, problem, meant in _wrong_values(values):
            where = (*path, key)
            edits = () if meant is None else (SetValue(where, meant),)
            yield Hit(file.at(*where), f"{key} must be {problem}", edits=edits)


def _wrong_values(values: dict[str, Any]) -> Iterator[tuple[str, str, object]]:
    """Key, what its value must be, and the value that was probably meant."""
    for key in ("skip_verify", "override_path"):
        value = values.get(key)
        if value is not None and not isinstance(value, bool):
            meant = {"true": True, "false": False}.get(str(value).lower())
            yield key, "true or false, without quotes", meant
    value = values.get("capabilities")
    if value is not None and not _is_strings(value):
        yield "capabilities", "a list of strings", (value,) if isinstance(value, str) else None
    value = values.get("ca")
    if value is not None and not isinstance(value, str) and not _is_strings(value):
        yield "ca", "a file name or a list of file names", None
    value = values.get("client")
    if value is not None and not isinstance(value, str) and not _is_client(value):
        yield "client", "file names or pairs [certificate, key]", None
    value = values.get("header")
    if value is not None and not isinstance(value, dict):
        yield "header", "a table", None
    elif value and not all(isinstance(v, str) or _is_strings(v) for v in value.values()):
        yield "header", "a table of strings or lists of strings", None


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_client(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, str) or (_is_strings(item) and len(item) == 2) for item in value
    )


@rules("PPH006", by="containerd", fixable=True)
def unknown_key(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    any_case = context.containerd.key_case == "any"
    for path, values in tables(file):
        known = _TABLE_KEYS if path else (*_KEYS, *_TABLE_KEYS)
        for key in values:
            if key in known or (any_case and key.lower() in known) or key.lower().upper() == key:
                continue
            where = (*path, key)
            yield misspelt(file.at(*where), "unknown key", key, known, rename=where)


@rules("PPH007", by="containerd")
def dial_timeout_too_early(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if not context.containerd.reads_dial_timeout:
        for path, values in tables(file):
            if "dial_timeout" in values:
                yield Hit(file.at(*path, "dial_timeout"), "dial_timeout is ignored")


@rules("PPH008", by="containerd", fixable=True)
def bad_dial_timeout(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if context.containerd.reads_dial_timeout:
        for path, values in tables(file):
            value = values.get("dial_timeout", "")
            good = isinstance(value, str) and (not value or _DURATION.fullmatch(value[:64]))
            if not good:
                from reference_registry.config.units import suggested_duration

                what = f"invalid duration {quoted(value)}"
                where = (*path, "dial_timeout")
                plain = isinstance(value, str | int) and not isinstance(value, bool)
                meant = suggested_duration(str(value)[:64]) if plain else None
                edits = (SetValue(where, meant),) if meant else ()
                yield Hit(file.at(*where), what, f"write {meant}" if meant else "", edits)
