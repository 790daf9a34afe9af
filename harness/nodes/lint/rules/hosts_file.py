"""hosts.toml as a whole: what makes containerd ignore the file, or hosts in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import AddTable, AsHeaders, ReplaceText, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["capabilities_of", "rules", "server_of", "tables"]

rules = Rules(Kind.HOSTS)


def tables(file: TomlFile) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """The file itself and each of its hosts, which may have the same keys."""
    yield (), file.values
    for url, values in file.table("host").items():
        if isinstance(values, dict):
            yield ("host", url), values


def server_of(file: TomlFile) -> str:
    """``server``, empty where it is absent or no text."""
    server = file.get("server")
    return server if isinstance(server, str) else ""


def capabilities_of(values: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names in small letters, as containerd compares them; None where no list is given."""
    given = values.get("capabilities")
    return tuple(str(name).lower() for name in given) if isinstance(given, list) else None


@rules("PPH001", "error", by="containerd", fixable=True)
def only_server(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """server without a [host] table.

    why: before 1.7.32 and 2.0, containerd ignores such a file and contacts the registry directly
    fix: add an empty [host] table
    source: measured on 1.6.20, 1.6.39, 1.7.24; containerd 1.7.32 and 2.0.0 honour the file
    """
    if file.values and "host" not in file.values and not context.containerd.server_alone_suffices:
        yield Hit(
            file.at("server"),
            "no [host] table: the whole file is ignored",
            edits=(AddTable(("host",)),),
        )


def _unseen_hosts(file: TomlFile) -> list[str]:
    """Hosts that are inline tables or dotted keys."""
    headers = {s.path[1] for s in file.statements if s.kind != "pair" and len(s.path) > 1}
    return [
        url
        for url, values in file.table("host").items()
        if isinstance(values, dict) and url not in headers
    ]


@rules("PPH002", "error", by="containerd", fixable=True)
def host_without_header(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Host written as an inline table or a dotted key.

    why: 2.x silently ignores such hosts; 1.x tries inline ones in random order
    fix: give each host a header, [host."URL"]
    source: measured on 1.6.20, 1.7.24, 2.1.9 (inline tables, dotted keys)
    """
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


@rules("PPH009", "warning", by="containerd")
def scattered_tables(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Sub-table after another host's table.

    why: 2.x lists the host a second time, at that position
    fix: move it directly after the table of its host
    source: measured on 2.1.9
    """
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


@rules("PPH010", "error", by="containerd", fixable=True)
def byte_order_mark(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Byte order mark.

    why: 2.x rejects the file as invalid TOML and ignores it
    fix: save it as UTF-8 without a byte order mark
    source: measured on 2.1.9; pelletier/go-toml v2
    """
    if file.text.startswith("\ufeff") and not context.containerd.accepts_byte_order_mark:
        yield Hit(
            file.at(),
            "the file begins with a byte order mark",
            edits=(ReplaceText(1, "\ufeff", ""),),
        )


@rules("PPH011", "error")
def bad_url(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Invalid URL.

    why: containerd ignores the whole file
    fix: write https://HOST or https://HOST:PORT
    source: net/url.Parse; containerd core/remotes/docker/config/hosts.go
    """
    from harness.nodes.models.go_url import InvalidURL, parse_url

    server = file.get("server")
    named = [("host", url) for url in file.table("host")]
    urls = [(("server",), server)] if isinstance(server, str) and server else []
    for path, url in [*urls, *((path, path[1]) for path in named)]:
        try:
            parse_url(url if url.startswith("http") else f"https://{url}")
        except InvalidURL:
            yield Hit(file.at(*path), f"invalid URL {quoted(url)}")
