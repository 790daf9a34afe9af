"""hosts.toml: files that containerd takes, and that do not do what one may think."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import AddKey, RemoveKey, RenameKey, SetValue, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import host_of, namespace_of
from harness.nodes.lint.rule import Hit, RuleContext, Rules
from harness.nodes.lint.rules.hosts_file import capabilities_of, server_of, tables

__all__ = ["rules"]

rules = Rules(Kind.HOSTS, source="measured on 1.6.20 to 2.3.4")

_HUB_HOSTS = {"docker.io", "index.docker.io", "registry-1.docker.io"}


def _namespace(file: TomlFile) -> str:
    return namespace_of(posixpath.dirname(file.absolute))


def _is_own(host: str, file: TomlFile) -> bool:
    """Whether *host* is the registry that the directory is for, and no mirror of it."""
    namespace = _namespace(file)
    own = {namespace, host_of(server_of(file))} - {""}
    return host in own or (namespace == "docker.io" and host in _HUB_HOSTS)


@rules("PPH021", "error", fixable=True)
def server_docker_io(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """server = docker.io.

    why: containerd really contacts the host docker.io, which is a web site and no registry
    fix: write server = "https://registry-1.docker.io"
    source: measured on 1.6.20 to 2.3.4; the example of containerd docs/hosts.md says docker.io
    """
    if host_of(server_of(file)) == "docker.io":
        fixed = (SetValue(("server",), "https://registry-1.docker.io"),)
        yield Hit(file.at("server"), f"{quoted(server_of(file))} is no registry", edits=fixed)


@rules("PPH022", "error", fixable=True)
def name_like_a_scheme(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """A host whose name begins with http, and no scheme.

    why: whatever begins with http is taken as having a scheme: every request to the host fails
    fix: write the scheme in front
    """
    for url in file.table("host"):
        if url.startswith("http") and "://" not in url:
            what = f"{quoted(url)} has no scheme"
            yield Hit(file.at("host", url), what, edits=_with_scheme(url))


def _with_scheme(url: str) -> tuple[RenameKey, ...]:
    """The scheme that containerd takes where none is written."""
    return (RenameKey(("host", url), f"https://{url}"),)


@rules("PPH023", "info", fixable=True)
def no_scheme(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """A host without a scheme.

    why: https is assumed, for loopback addresses too
    fix: write the scheme in front
    """
    for url in file.table("host"):
        if not url.startswith("http") and "://" not in url:
            what = f"{quoted(url)} means https://{url}"
            yield Hit(file.at("host", url), what, edits=_with_scheme(url))


@rules("PPH024", "warning", fixable=True)
def mirror_takes_pushes(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """A mirror that takes pushes.

    why: a push goes to the first host with that capability, which is the default, and never falls
        back; a pull-through cache answers 405
    fix: write capabilities = ["pull", "resolve"]
    source: measured on 1.6.20 to 2.3.4; distribution answers UNSUPPORTED
    """
    for path, values in tables(file):
        if not path or _is_own(host_of(path[1]), file):
            continue
        given = values.get("capabilities")
        names = capabilities_of(values)
        if given is None or names == () or (names and "push" in names):
            kept = tuple(name for name in names or () if name != "push") or ("pull", "resolve")
            where = (*path, "capabilities")
            what = "pushes are sent to this mirror"
            change = AddKey(where, kept) if given is None else SetValue(where, kept)
            yield Hit(file.at(*where), what, edits=(change,))


@rules("PPH025", "info")
def cannot_resolve(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """A mirror that cannot resolve tags.

    why: a tag is looked up at the next host, and the content then taken from this one; capabilities
        do not gate the content
    fix: add "resolve", unless tags shall be decided by the registry itself
    """
    for path, values in tables(file):
        given = capabilities_of(values)
        if path and given and "pull" in given and "resolve" not in given:
            yield Hit(file.at(*path, "capabilities"), "pull without resolve")


@rules("PPH027", "warning")
def credential_in_header(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """A header with a credential.

    why: it is sent with every request, unasked, and the file is readable by many
    fix: use registry.configs in config.toml, or an imagePullSecret
    """
    for path, values in tables(file):
        header = values.get("header")
        for name in header if isinstance(header, dict) else ():
            if name.lower() in {"authorization", "cookie", "proxy-authorization"}:
                yield Hit(file.at(*path, "header", name), f"{name} is sent with every request")


@rules("PPH028", "warning")
def path_is_extended(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """A path without override_path.

    why: containerd adds /v2 behind the path of a URL, where few registries serve the API
    fix: set override_path = true if the path is complete
    source: measured on 1.6.20 to 2.3.4; containerd docs/hosts.md, override_path
    """
    for path, values in tables(file):
        url = path[1] if path else server_of(file)
        below = url.partition("://")[2].partition("/")[2].rstrip("/")
        complete = below == "v2" or below.endswith("/v2")
        if below and not complete and values.get("override_path") is not True:
            where = path or ("server",)
            yield Hit(file.at(*where), f"/{below} becomes /{below}/v2")


@rules("PPH029", "warning", fixable=True)
def overridden_by_nothing(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """override_path without a path.

    why: the API's path /v2 is left out, and the host answers 404
    fix: remove override_path, or write the path
    """
    for path, values in tables(file):
        url = path[1] if path else server_of(file)
        below = url.partition("://")[2].partition("/")[2].rstrip("/")
        if values.get("override_path") is True and url and not below:
            where = (*path, "override_path")
            what = "no path to override /v2 with"
            yield Hit(file.at(*where), what, edits=(RemoveKey(where),))


@rules("PPH032", "info", fixable=True)
def tried_twice(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """server is one of the hosts.

    why: server is always tried last, so that the host is asked twice where it fails
    fix: remove the [host] table, unless it sets something
    """
    for url, values in file.table("host").items():
        if server_of(file) and url.rstrip("/") == server_of(file).rstrip("/"):
            what = f"{quoted(url)} is tried, and tried again as server"
            edits = (RemoveKey(("host", url)),) if values == {} else ()
            yield Hit(file.at("host", url), what, edits=edits)


@rules("PPH033", "warning")
def one_server_for_all(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """server in _default.

    why: images of every registry without a directory of its own are asked for there, and nowhere
        else
    fix: remove server: then the image's own registry is asked last
    """
    if _namespace(file) == "_default" and server_of(file):
        yield Hit(file.at("server"), f"everything is asked of {quoted(server_of(file))}")


@rules("PPH034", "info")
def registry_replaced(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """server is not the registry itself.

    why: server replaces the registry: where mirrors and server fail, the registry is not asked
    fix: write the registry's own URL, if it shall be asked last
    """
    namespace, host = _namespace(file), host_of(server_of(file))
    in_tree = posixpath.basename(posixpath.dirname(posixpath.dirname(file.absolute))) == "certs.d"
    if (
        host
        and in_tree
        and namespace not in {"_default", host}
        and not (namespace == "docker.io" and host in _HUB_HOSTS)
    ):
        yield Hit(file.at("server"), f"{quoted(host)} is asked in place of {quoted(namespace)}")


@rules("PPH035", "error")
def nobody_resolves(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """No host may resolve.

    why: the pull ends with "no resolve hosts: not found", and no request is sent
    fix: add "pull" and "resolve" to the capabilities of one host, or of the file for server
    """
    if not server_of(file):
        return  # the registry itself is asked last, with all capabilities
    given = [capabilities_of(values) for _, values in tables(file)]
    if all(names and not {"pull", "resolve"} <= set(names) for names in given):
        yield Hit(file.at("capabilities"), "neither a host nor server has pull and resolve")
