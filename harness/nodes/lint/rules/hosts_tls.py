"""hosts.toml: certificates, and whether anyone looks at them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import TomlFile
from harness.nodes.lint.finding import RemoveKey, SetValue, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.project import host_of
from harness.nodes.lint.rule import Hit, RuleContext, Rules
from harness.nodes.lint.rules.hosts_file import server_of, tables

if TYPE_CHECKING:
    from harness.nodes.models.containerd.releases import Release

__all__ = ["rules"]

rules = Rules(Kind.HOSTS)

_TLS_KEYS = ("skip_verify", "ca", "client")


@rules("PPH020", "warning", by="containerd", fixable=True)
def tls_for_plain_http(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """TLS settings for an http:// host.

    why: since 1.6.25 and 1.7.7, containerd then tries https first if the URL has a port, and since
        1.7.24 without a port too, even with skip_verify = false; earlier, and for port 80, they
        have no effect
    fix: remove them, or write https://
    source: measured on 1.6.20, 1.6.39, 1.7.24, 2.1.9; containerd
        core/remotes/docker/config/hosts.go
    """
    for path, values in tables(file):
        url = path[1] if path else server_of(file)
        for key in _TLS_KEYS:
            if url.startswith("http://") and key in values:
                empty = key == "client" and not values[key]
                first = not empty and _is_asked_over_https_first(url, context.containerd)
                effect = "makes containerd try https first" if first else "is ignored"
                what = f"{key} for {quoted(url)} {effect}"
                yield Hit(file.at(*path, key), what, edits=(RemoveKey((*path, key)),))


def _is_asked_over_https_first(url: str, release: Release) -> bool:
    _, colon, port = host_of(url).rpartition(":")
    named = colon != "" and port.isdecimal()
    if named and port == "80":
        return False
    return release.https_first == "any port" or (named and release.https_first == "explicit port")


@rules("PPH026", "warning")
def unchecked_certificate(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Certificate verification is off.

    why: anyone on the network path can read the credentials and return other images for a tag
    fix: set ca to the CA certificate
    source: containerd docs/hosts.md, skip_verify
    """
    for path, values in tables(file):
        url = path[1] if path else server_of(file)
        if values.get("skip_verify") is True and not url.startswith("http://"):
            yield Hit(
                file.at(*path, "skip_verify"), f"the certificate of {quoted(url)} is not checked"
            )


@rules("PPH030", "error", fixable=True)
def unpaired_client_files(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Client certificate and key as two entries.

    why: each entry is a file with both certificate and key, so every pull fails before the first
        request
    fix: write client = [["client.crt", "client.key"]]
    source: measured on 1.6.20 to 2.3.4; containerd docs/hosts.md, client
    """
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


@rules("PPH031", "error")
def missing_certificate(file: TomlFile, context: RuleContext) -> Iterator[Hit]:
    """Missing certificate file.

    why: every pull from the registry fails before the first request, even if other hosts work
    fix: add the file, or remove the key
    source: measured on 1.6.20 to 2.3.4
    """
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
                    if context.project.stands_at(absolute) is None:
                        yield Hit(file.at(*where), f"{quoted(name)} does not exist")


def _file_names(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _file_names(item)
