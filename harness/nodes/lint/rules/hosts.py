"""hosts.toml: what makes containerd ignore the file, a host or a key; valid files with a surprising
effect; TLS settings."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.nodes.lint.documents import TomlFile, TomlTable, is_strings
from harness.nodes.lint.finding import Hit, KeyEdit, ReplaceText, nearest, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import host_of, namespace_of
from harness.nodes.lint.rule import RuleContext, Rules, misspelt
from harness.nodes.models.containerd.releases import Release

rules = Rules(Kind.HOSTS)

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
_HUB_HOSTS = {"docker.io", "index.docker.io", "registry-1.docker.io"}


class _Table(TomlTable):
    """The top level, or a host, which may have the same keys."""

    @property
    def url(self) -> str:
        return str(self.path[1]) if self.path else self.file.string("server")

    @property
    def capabilities(self) -> tuple[str, ...] | None:
        """The names in lower case, as containerd compares them; None if it is not a list."""
        given = self.get("capabilities")
        return tuple(str(name).lower() for name in given) if isinstance(given, list) else None


def _tables(file: TomlFile, context: object = None) -> Iterator[_Table]:
    yield _Table(file)
    for url, values in file.table("host").items():
        if isinstance(values, dict):
            yield _Table(file, ("host", url))


def _namespace(file: TomlFile) -> str:
    return namespace_of(posixpath.dirname(file.absolute))


def _is_registry(host: str, namespace: str) -> bool:
    """Whether *host* serves the registry *namespace*."""
    return host == namespace or (namespace == "docker.io" and host in _HUB_HOSTS)


# -- What containerd ignores --------------------------------------------------------------------
@rules("PPH001", "PPH002", "PPH009", "PPH010", by="containerd")
def unseen(file: TomlFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    release = context.containerd
    if file.values and "host" not in file.values and not release.server_alone_suffices:
        what = "no [host] table: the whole file is ignored"
        yield "PPH001", file.hit("server", what, KeyEdit("add", ("host",), None))
    if file.text.startswith("\ufeff") and not release.accepts_byte_order_mark:
        what = "the file begins with a byte order mark"
        yield "PPH010", file.hit((), what, ReplaceText(1, "\ufeff", ""))
    headers = [s for s in file.statements if s.kind != "pair" and len(s.path) > 1]
    seen = {s.path[1] for s in headers}
    without = [table.url for table in _tables(file) if table.path and table.url not in seen]
    if release.host_tables == "headers":
        for url in without:
            what = f"containerd does not see {quoted(url)}"
            yield "PPH002", file.hit(("host", url), what, KeyEdit("headers", ("host",)))
        known: set[str] = set()
        hosts = (s for s in headers if s.kind == "table" and s.path[0] == "host")
        for url, group in itertools.groupby(hosts, lambda s: s.path[1]):
            if url in known:
                yield "PPH009", file.hit(next(group).path, f"{quoted(url)} is tried twice")
            known.add(url)
        return
    pairs = {s.path for s in file.statements if s.kind == "pair"}
    inline = [url for url in without if pairs & {("host",), ("host", url)}]
    if len(inline) > 1:
        what = f"{len(inline)} inline tables are tried in random order"
        yield "PPH002", file.hit(("host", inline[0]), what, KeyEdit("headers", ("host",)))


@rules("PPH003", "PPH004", "PPH006", "PPH007", "PPH008", "PPH020", each=_tables, by="containerd")
def by_release(table: _Table, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    release, path = context.containerd, table.path
    given, names = table.get("capabilities"), table.capabilities
    where = (*path, "capabilities")
    for name in given if isinstance(given, list) else ():
        if isinstance(name, str) and name.lower() not in {*release.capabilities, "referrers"}:
            near = nearest(name, release.capabilities)
            meant = tuple(near if item == name else item for item in given)
            edits = [KeyEdit("set", where, meant)] if near else []
            fix = f"did you mean {near}?" if near else ""
            what = f"unknown capability {quoted(name)}"
            yield "PPH003", table.hit("capabilities", what, *edits, fix=fix)
    if names and "referrers" in names and "referrers" not in release.capabilities:
        kept = tuple(name for name in given if str(name).lower() != "referrers")
        edit = KeyEdit("set", where, kept)
        yield "PPH004", table.hit("capabilities", "referrers is not supported", edit)
    keys = _TABLE_KEYS if path else ("server", "host", *_TABLE_KEYS)
    for key in table.values:
        any_case = release.key_case == "any" and key.lower() in keys
        if key not in keys and not any_case and key.lower().upper() != key:
            at = (*path, key)
            yield "PPH006", misspelt(table.file.at(*at), "unknown key", key, keys, rename=at)
    if not release.reads_dial_timeout and "dial_timeout" in table.values:
        yield "PPH007", table.hit("dial_timeout", "dial_timeout is ignored")
    if release.reads_dial_timeout:
        yield from _bad_timeout(table)
    for key in ("skip_verify", "ca", "client"):
        if table.url.startswith("http://") and key in table.values:
            empty = key == "client" and not table.get(key)
            first = not empty and _is_tried_over_https_first(table.url, release)
            effect = "makes containerd try https first" if first else "is ignored"
            what = f"{key} for {quoted(table.url)} {effect}"
            yield "PPH020", table.hit(key, what, KeyEdit("remove", (*path, key)))


def _bad_timeout(table: _Table) -> Iterator[tuple[str, Hit]]:
    from reference_registry.config.units import suggested_duration

    value = table.values.get("dial_timeout", "")
    if isinstance(value, str) and (not value or _DURATION.fullmatch(value[:64])):
        return
    plain = isinstance(value, str | int) and not isinstance(value, bool)
    meant = suggested_duration(str(value)[:64]) if plain else None
    edits = [KeyEdit("set", (*table.path, "dial_timeout"), meant)] if meant else []
    fix = f"write {meant}" if meant else ""
    what = f"invalid duration {quoted(value)}"
    yield "PPH008", table.hit("dial_timeout", what, *edits, fix=fix)


def _is_tried_over_https_first(url: str, release: Release) -> bool:
    _, colon, port = host_of(url).rpartition(":")
    named = colon != "" and port.isdecimal()
    if named and port == "80":
        return False
    return release.https_first == "any port" or (named and release.https_first == "explicit port")


@rules("PPH005", by="containerd")
def wrong_type(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    hosts, server = file.get("host"), file.get("server")
    if hosts is not None and not isinstance(hosts, dict):
        yield file.hit("host", "host must be a table")
        return
    for url, values in (hosts or {}).items():
        if not isinstance(values, dict):
            yield file.hit(("host", url), f"[host] {quoted(url)} must be a table")
    if server is not None and not isinstance(server, str):
        yield file.hit("server", "server must be a string")
    for table in _tables(file):
        for key, (is_good, form) in _FORMS.items():
            value = table.values.get(key)
            if value is not None and not is_good(value):
                yield table.hit(key, f"{key} must be {form}", *_converted(table, key, value))
        header = table.values.get("header", {})
        if not isinstance(header, dict):
            yield table.hit("header", "header must be a table")
        elif not all(_is_text_or_texts(value) for value in header.values()):
            yield table.hit("header", "header must be a table of strings or lists of strings")


def _is_text_or_texts(value: object) -> bool:
    return isinstance(value, str) or is_strings(value)


def _is_client(value: object) -> bool:
    items: list[Any] = value if isinstance(value, list) else [value]
    return all(isinstance(i, str) or (is_strings(i) and len(i) == 2) for i in items)


_FLAG = (lambda value: isinstance(value, bool), "true or false, without quotes")
_FORMS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "skip_verify": _FLAG,
    "override_path": _FLAG,
    "capabilities": (is_strings, "a list of strings"),
    "ca": (_is_text_or_texts, "a file name or a list of file names"),
    "client": (_is_client, "file names or pairs [certificate, key]"),
}


def _converted(table: _Table, key: str, value: object) -> Iterator[KeyEdit]:
    """The edit to the value that was probably meant."""
    flag = {"true": True, "false": False}.get(str(value).lower())
    if key in {"skip_verify", "override_path"} and flag is not None:
        yield KeyEdit("set", (*table.path, key), flag)
    elif key == "capabilities" and isinstance(value, str):
        yield KeyEdit("set", (*table.path, key), (value,))


# -- Surprising effects -------------------------------------------------------------------------
@rules("PPH011", "PPH021", "PPH022", "PPH023", "PPH032", "PPH033", "PPH034", "PPH035")
def urls(file: TomlFile, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    server, namespace = file.string("server"), _namespace(file)
    if server and not _is_url(server):
        yield "PPH011", file.hit("server", f"invalid URL {quoted(server)}")
    for url, values in file.table("host").items():
        at, said = ("host", url), quoted(url)
        if not _is_url(url):
            yield "PPH011", file.hit(at, f"invalid URL {said}")
        if "://" not in url:
            like = url.startswith("http")  # containerd's default scheme is https
            what = f"{said} has no scheme" if like else f"{said} means https://{url}"
            rename = KeyEdit("rename", at, f"https://{url}")
            yield "PPH022" if like else "PPH023", file.hit(at, what, rename)
        if server and url.rstrip("/") == server.rstrip("/"):
            edits = [KeyEdit("remove", at)] if values == {} else []
            yield "PPH032", file.hit(at, f"{said} is tried, and again as server", *edits)
    if not server:
        return  # the registry itself is asked last, with all capabilities
    host = host_of(server)
    if host == "docker.io":
        hub = KeyEdit("set", ("server",), "https://registry-1.docker.io")
        yield "PPH021", file.hit("server", f"{quoted(server)} is not a registry", hub)
    in_tree = posixpath.basename(posixpath.dirname(posixpath.dirname(file.absolute))) == "certs.d"
    if namespace == "_default":
        what = f"images of all other registries are requested from {quoted(server)}"
        yield "PPH033", file.hit("server", what)
    elif host and in_tree and not _is_registry(host, namespace):
        yield "PPH034", file.hit("server", f"{quoted(host)} replaces {quoted(namespace)}")
    given = [table.capabilities for table in _tables(file)]
    if all(names and not {"pull", "resolve"} <= set(names) for names in given):
        what = "neither a host nor server has both pull and resolve"
        yield "PPH035", file.hit("capabilities", what)


def _is_url(url: str) -> bool:
    from harness.nodes.models.go_url import InvalidURL, parse_url

    try:
        parse_url(url if url.startswith("http") else f"https://{url}")
    except InvalidURL:
        return False
    return True


_MEANING = ("PPH024", "PPH025", "PPH026", "PPH027", "PPH028", "PPH029", "PPH030", "PPH031")


@rules(*_MEANING, each=_tables)
def surprising(table: _Table, context: RuleContext) -> Iterator[tuple[str, Hit]]:
    file, path, url, names = table.file, table.path, table.url, table.capabilities
    at = (*path, "capabilities")
    host, namespace = host_of(url), _namespace(file)
    own = _is_registry(host, namespace) or host == host_of(file.string("server")) != ""
    if path and not own and (table.get(at[-1]) is None or names == () or "push" in (names or ())):
        kept = tuple(name for name in names or () if name != "push") or ("pull", "resolve")
        edit = KeyEdit("add", at, kept) if table.get(at[-1]) is None else KeyEdit("set", at, kept)
        yield "PPH024", table.hit("capabilities", "this mirror gets pushes", edit)
    if path and names and "pull" in names and "resolve" not in names:
        yield "PPH025", table.hit("capabilities", "pull without resolve")
    if table.get("skip_verify") is True and not url.startswith("http://"):
        what = f"the certificate of {quoted(url)} is not checked"
        yield "PPH026", table.hit("skip_verify", what)
    for name in file.table(*path, "header"):
        if name.lower() in {"authorization", "cookie", "proxy-authorization"}:
            what = f"{name} is sent with every request"
            yield "PPH027", file.hit((*path, "header", name), what)
    below = url.partition("://")[2].partition("/")[2].rstrip("/")
    overridden = table.get("override_path") is True
    if below and not overridden and below != "v2" and not below.endswith("/v2"):
        yield "PPH028", file.hit(path or "server", f"/{below} becomes /{below}/v2")
    if overridden and url and not below:
        remove = KeyEdit("remove", (*path, "override_path"))
        yield "PPH029", table.hit("override_path", "no path to override /v2 with", remove)
    client = table.get("client")
    if is_strings(client) and len(client) == 2 and client[1].endswith((".key", "-key.pem")):
        pair = KeyEdit("set", (*path, "client"), (tuple(client),))
        yield "PPH030", table.hit("client", "two files instead of a pair", pair)
    directory = posixpath.dirname(file.absolute)
    for key in ("ca", "client"):
        for name in _file_names(table.get(key)):
            absolute = posixpath.normpath(posixpath.join(directory, name))
            if not name:
                yield "PPH031", table.hit(key, "an empty file name")
            elif name.startswith("/") or directory not in context.project.names:
                continue
            elif context.project.kind_at(absolute) is None:
                yield "PPH031", table.hit(key, f"{quoted(name)} does not exist")


def _file_names(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _file_names(item)
