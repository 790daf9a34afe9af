"""hosts.toml: valid files with a surprising effect, and TLS settings."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import AddKey, RemoveKey, RenameKey, SetValue, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import host_of, namespace_of
from harness.nodes.lint.rule import Hit, RuleContext, Rules
from harness.nodes.lint.rules.hosts_file import capabilities_of, server_of, tables

if TYPE_CHECKING:
    from harness.nodes.models.containerd.releases import Release

__all__ = ["rules"]

rules = Rules(Kind.HOSTS)

_HUB_HOSTS = {"docker.io", "index.docker.io", "registry-1.docker.io"}


def _namespace(file: TomlFile) -> str:
    return namespace_of(posixpath.dirname(file.absolute))


def _is_own(host: str, file: TomlFile) -> bool:
    """Whether *host* is the registry of the directory, not a mirror of it."""
    namespace = _namespace(file)
    own = {namespace, host_of(server_of(file))} - {""}
    return host in own or (namespace == "docker.io" and host in _HUB_HOSTS)


@rules("PPH021", fixable=True)
def server_docker_io(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if host_of(server_of(file)) == "docker.io":
        fixed = (SetValue(("server",), "https://registry-1.docker.io"),)
        yield Hit(file.at("server"), f"{quoted(server_of(file))} is not a registry", edits=fixed)


@rules("PPH022", fixable=True)
def name_like_a_scheme(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for url in file.table("host"):
        if url.startswith("http") and "://" not in url:
            what = f"{quoted(url)} has no scheme"
            yield Hit(file.at("host", url), what, edits=_with_scheme(url))


def _with_scheme(url: str) -> tuple[RenameKey, ...]:
    """The default scheme of containerd."""
    return (RenameKey(("host", url), f"https://{url}"),)


@rules("PPH023", fixable=True)
def no_scheme(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for url in file.table("host"):
        if not url.startswith("http") and "://" not in url:
            what = f"{quoted(url)} means https://{url}"
            yield Hit(file.at("host", url), what, edits=_with_scheme(url))


@rules("PPH024", fixable=True)
def mirror_takes_pushes(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, values in tables(file):
        if not path or _is_own(host_of(path[1]), file):
            continue
        given = values.get("capabilities")
        names = capabilities_of(values)
        if given is None or names == () or (names and "push" in names):
            kept = tuple(name for name in names or () if name != "push") or ("pull", "resolve")
            where = (*path, "capabilities")
            what = "this mirror gets pushes"
            change = AddKey(where, kept) if given is None else SetValue(where, kept)
            yield Hit(file.at(*where), what, edits=(change,))


@rules("PPH025")
def cannot_resolve(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, values in tables(file):
        given = capabilities_of(values)
        if path and given and "pull" in given and "resolve" not in given:
            yield Hit(file.at(*path, "capabilities"), "pull without resolve")


@rules("PPH027")
def credential_in_header(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, values in tables(file):
        header = values.get("header")
        for name in header if isinstance(header, dict) else ():
            if name.lower() in {"authorization", "cookie", "proxy-authorization"}:
                yield Hit(file.at(*path, "header", name), f"{name} is sent with every request")


@rules("PPH028")
def path_is_extended(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, values in tables(file):
        url = path[1] if path else server_of(file)
        below = url.partition("://")[2].partition("/")[2].rstrip("/")
        complete = below == "v2" or below.endswith("/v2")
        if below and not complete and values.get("override_path") is not True:
            where = path or ("server",)
            yield Hit(file.at(*where), f"/{below} becomes /{below}/v2")


@rules("PPH029", fixable=True)
def overridden_by_nothing(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, values in tables(file):
        url = path[1] if path else server_of(file)
        below = url.partition("://")[2].partition("/")[2].rstrip("/")
        if values.get("override_path") is True and url and not below:
            where = (*path, "override_path")
            what = "no path to override /v2 with"
            yield Hit(file.at(*where), what, edits=(RemoveKey(where),))


@rules("PPH032", fixable=True)
def tried_twice(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for url, values in file.table("host").items():
        if server_of(file) and url.rstrip("/") == server_of(file).rstrip("/"):
            what = f"{quoted(url)} is tried, and again as server"
            edits = (RemoveKey(("host", url)),) if values == {} else ()
            yield Hit(file.at("host", url), what, edits=edits)


@rules("PPH033")
def one_server_for_all(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if _namespace(file) == "_default" and server_of(file):
        yield Hit(
            file.at("server"),
            f"images of all other registries are requested from {quoted(server_of(file))}",
        )


@rules("PPH034")
def registry_replaced(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    namespace, host = _namespace(file), host_of(server_of(file))
    in_tree = posixpath.basename(posixpath.dirname(posixpath.dirname(file.absolute))) == "certs.d"
    if (
        host
        and in_tree
        and namespace not in {"_default", host}
        and not (namespace == "docker.io" and host in _HUB_HOSTS)
    ):
        yield Hit(file.at("server"), f"{quoted(host)} replaces {quoted(namespace)}")


@rules("PPH035")
def no_host_resolves(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    if not server_of(file):
        return  # the registry itself is asked last, with all capabilities
    given = [capabilities_of(values) for _, values in tables(file)]
    if all(names and not {"pull", "resolve"} <= set(names) for names in given):
        yield Hit(file.at("capabilities"), "neither a host nor server has both pull and resolve")


_TLS_KEYS = ("skip_verify", "ca", "client")


@rules("PPH020", by="containerd", fixable=True)
def tls_for_plain_http(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, values in tables(file):
        url = path[1] if path else server_of(file)
        for key in _TLS_KEYS:
            if url.startswith("http://") and key in values:
                empty = key == "client" and not values[key]
                first = not empty and _is_tried_over_https_first(url, context.containerd)
                effect = "makes containerd try https first" if first else "is ignored"
                what = f"{key} for {quoted(url)} {effect}"
                yield Hit(file.at(*path, key), what, edits=(RemoveKey((*path, key)),))


def _is_tried_over_https_first(url: str, release: Release) -> bool:
    _, colon, port = host_of(url).rpartition(":")
    named = colon != "" and port.isdecimal()
    if named and port == "80":
        return False
    return release.https_first == "any port" or (named and release.https_first == "explicit port")


@rules("PPH026")
def unchecked_certificate(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, values in tables(file):
        url = path[1] if path else server_of(file)
        if values.get("skip_verify") is True and not url.startswith("http://"):
            yield Hit(
                file.at(*path, "skip_verify"), f"the certificate of {quoted(url)} is not checked"
            )


@rules("PPH030", fixable=True)
def unpaired_client_files(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    for path, values in tables(file):
        client = values.get("client")
        if not (isinstance(client, list) and len(client) == 2):
            continue
        first, second = client
        if (
            isinstance(first, str)
            and isinstance(second, str)
            and second.endswith((".key", "-key.pem"))
        ):
            where = (*path, "client")
            paired = ((first, second),)
            yield Hit(
                file.at(*where), "two files instead of a pair", edits=(SetValue(where, paired),)
            )


@rules("PPH031")
def missing_certificate(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    directory = posixpath.dirname(file.absolute)
    walked = directory in context.project.names
    for path, values in tables(file):
        for key in ("ca", "client"):
            for name in _file_names(values.get(key)):
                where = (*path, key)
                if not name:
                    yield Hit(file.at(*where), "an empty file name")
                elif walked and not name.startswith("/"):
                    absolute = posixpath.normpath(posixpath.join(directory, name))
                    if context.project.kind_at(absolute) is None:
                        yield Hit(file.at(*where), f"{quoted(name)} does not exist")


def _file_names(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _file_names(item)
