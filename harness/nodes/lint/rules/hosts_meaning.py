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

    why: containerd contacts the host docker.io, which is a web site, not a registry
    fix: write server = "https://registry-1.docker.io"
    source: measured on 1.6.20 to 2.3.4; the example of containerd docs/hosts.md says docker.io
    """
    if host_of(server_of(file)) == "docker.io":
        fixed = (SetValue(("server",), "https://registry-1.docker.io"),)
        yield Hit(file.at("server"), f"{quoted(server_of(file))} is not a registry", edits=fixed)


@rules("PPH022", "error", fixable=True)
def name_like_a_scheme(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Host name that begins with http, without a scheme.

    why: containerd takes anything that begins with http as a URL: every request to the host fails
    fix: add the scheme
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
    """Host without a scheme.

    why: containerd uses https, for loopback addresses too
    fix: add the scheme
    """
    for url in file.table("host"):
        if not url.startswith("http") and "://" not in url:
            what = f"{quoted(url)} means https://{url}"
            yield Hit(file.at("host", url), what, edits=_with_scheme(url))


@rules("PPH024", "warning", fixable=True)
def mirror_takes_pushes(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Mirror that accepts pushes.

    why: a push goes to the first host with that capability (it is on by default) and never falls
        back; a pull-through cache returns 405
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
            what = "this mirror gets pushes"
            change = AddKey(where, kept) if given is None else SetValue(where, kept)
            yield Hit(file.at(*where), what, edits=(change,))


@rules("PPH025", "info")
def cannot_resolve(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Mirror that cannot resolve tags.

    why: the next host resolves the tag, and the content still comes from this one: capabilities do
        not restrict content
    fix: add "resolve", unless the registry itself should resolve tags
    """
    for path, values in tables(file):
        given = capabilities_of(values)
        if path and given and "pull" in given and "resolve" not in given:
            yield Hit(file.at(*path, "capabilities"), "pull without resolve")


@rules("PPH027", "warning")
def credential_in_header(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Credential in a header.

    why: containerd sends it with every request, even if the host does not ask for it, and many
        users can read the file
    fix: use registry.configs in config.toml, or an imagePullSecret
    """
    for path, values in tables(file):
        header = values.get("header")
        for name in header if isinstance(header, dict) else ():
            if name.lower() in {"authorization", "cookie", "proxy-authorization"}:
                yield Hit(file.at(*path, "header", name), f"{name} is sent with every request")


@rules("PPH028", "warning")
def path_is_extended(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Path without override_path.

    why: containerd appends /v2 to the path of the URL, where few registries serve the API
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

    why: containerd leaves out /v2, and the host returns 404
    fix: remove override_path, or add the path
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
    """server is also a host.

    why: containerd always tries server last, so if the host fails it is tried twice
    fix: remove the [host] table, unless it has settings
    """
    for url, values in file.table("host").items():
        if server_of(file) and url.rstrip("/") == server_of(file).rstrip("/"):
            what = f"{quoted(url)} is tried, and again as server"
            edits = (RemoveKey(("host", url)),) if values == {} else ()
            yield Hit(file.at("host", url), what, edits=edits)


@rules("PPH033", "warning")
def one_server_for_all(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """server in _default.

    why: images of every registry without its own directory are requested from this server, and
        nowhere else
    fix: remove server: then the registry of the image is tried last
    """
    if _namespace(file) == "_default" and server_of(file):
        yield Hit(
            file.at("server"),
            f"images of all other registries are requested from {quoted(server_of(file))}",
        )


@rules("PPH034", "info")
def registry_replaced(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """server is not the registry itself.

    why: server replaces the registry: if mirrors and server fail, the registry is not tried
    fix: write the registry's own URL, if it should be tried last
    """
    namespace, host = _namespace(file), host_of(server_of(file))
    in_tree = posixpath.basename(posixpath.dirname(posixpath.dirname(file.absolute))) == "certs.d"
    if (
        host
        and in_tree
        and namespace not in {"_default", host}
        and not (namespace == "docker.io" and host in _HUB_HOSTS)
    ):
        yield Hit(file.at("server"), f"{quoted(host)} replaces {quoted(namespace)}")


@rules("PPH035", "error")
def nobody_resolves(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """No host can resolve.

    why: the pull fails with "no resolve hosts: not found", without a request
    fix: add "pull" and "resolve" to the capabilities of a host, or of the file for server
    """
    if not server_of(file):
        return  # the registry itself is asked last, with all capabilities
    given = [capabilities_of(values) for _, values in tables(file)]
    if all(names and not {"pull", "resolve"} <= set(names) for names in given):
        yield Hit(file.at("capabilities"), "neither a host nor server has both pull and resolve")
