"""URLs, paths and addresses as Go reads them (net/url, path, net).

containerd depends on details in which Go differs from Python's urllib: ``up.test:5000`` is a scheme
without a host, ``127.0.0.1:5000`` is an error, credentials and queries are parsed and dropped.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes


class InvalidURL(ValueError):
    """Text that Go's url.Parse rejects."""


@dataclass(frozen=True)
class GoURL:
    """The used parts of a parsed URL: ``host`` includes the port, ``path`` is decoded."""

    scheme: str
    host: str
    path: str = ""
    query: str = ""

    @property
    def hostname(self) -> str:
        """The host without port and without the brackets of an IPv6 address."""
        name, colon, port = self.host.rpartition(":")
        host = name if colon and _PORT.fullmatch(colon + port) else self.host
        return host.removeprefix("[").removesuffix("]")


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)?:")
_PORT = re.compile(r"(:[0-9]*)?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# url.shouldEscape in host mode: allowed in a host although not unreserved.
# Brackets are for IPv6 addresses only, as in Go since 1.24.8 and 1.25.2.
_BAD_IN_HOST = re.compile(r"[^A-Za-z0-9_.~!$&'()*+,;=:<>\"%\x80-\U0010ffff-]")


def parse_url(text: str) -> GoURL:
    """*text* as url.Parse reads it. Raises :class:`InvalidURL`."""
    if _CONTROL.search(text):
        raise InvalidURL("net/url: invalid control character in URL")
    rest, _, _fragment = text.partition("#")
    scheme = ""
    if found := _SCHEME.match(rest):
        scheme, rest = (found[1] or "").lower(), rest[found.end() :]
        if not scheme:
            raise InvalidURL("missing protocol scheme")
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return GoURL(scheme, "", "", query)  # opaque: there is no host after the colon
        if ":" in rest.partition("/")[0]:
            raise InvalidURL("first path segment in URL cannot contain colon")
    host = ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        host, rest = _host(authority), slash + path
    return GoURL(scheme, host, _unescape(rest), query)


def _host(authority: str) -> str:
    _userinfo, _, host = authority.rpartition("@")
    if host.startswith("["):
        address, bracket, port = host.rpartition("]")
        if not bracket:
            raise InvalidURL("missing ']' in host")
        if not _PORT.fullmatch(port):
            raise InvalidURL(f"invalid port {port!r} after host")
        return f"{address}]{port}"
    _name, colon, port = host.rpartition(":")
    if colon and not _PORT.fullmatch(colon + port):
        raise InvalidURL(f"invalid port {colon + port!r} after host")
    if _BAD_ESCAPE.search(host):
        raise InvalidURL("invalid URL escape")
    if bad := _BAD_IN_HOST.search(host):
        raise InvalidURL(f"invalid character {bad[0]!r} in host name")
    return _unescape(host)


def _unescape(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise InvalidURL("invalid URL escape")
    return unquote_to_bytes(text).decode("utf-8", "replace") if "%" in text else text


# -- path ---------------------------------------------------------------------------------------
def clean_path(path: str) -> str:
    """path.Clean: the shortest equivalent of *path*; the empty path is ``.``."""
    # Python keeps two slashes at the beginning.
    return posixpath.normpath(re.sub("^//+", "/", path))


def join_path(*parts: str) -> str:
    """path.Join: the parts that are not empty, joined and cleaned."""
    joined = "/".join(part for part in parts if part)
    return clean_path(joined) if joined else ""


# -- addresses ----------------------------------------------------------------------------------
def split_host_port(host: str) -> tuple[str, str] | None:
    """net.SplitHostPort, or None for an error (no port, too many colons)."""
    name, colon, port = host.rpartition(":")
    if not colon:
        return None
    if name.startswith("["):
        return (name[1:-1], port) if name.endswith("]") and "]" not in name[1:-1] else None
    return None if ":" in name or "[" in name or "]" in name else (name, port)


def port_of(host: str) -> str:
    """The port in *host*, or the empty string."""
    split = split_host_port(host)
    return split[1] if split else ""


def is_loopback(host: str) -> bool:
    """containerd's idea of a local registry: ``localhost``, 127.0.0.0/8 or ::1, with any port.

    An IPv6 address in brackets without a port is not recognised, as in containerd.
    """
    split = split_host_port(host)
    name = split[0] if split else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
