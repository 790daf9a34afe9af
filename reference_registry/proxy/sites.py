"""Which other hosts upstream may send us to: token realms, redirects, next pages.

What upstream names is a request that we are asked to make from inside our own network, so a target
is looked at before anything is sent to it, and credentials go to hosts of upstream's own site only
(CVE-2026-33540). No I/O here; ``proxy.upstream_http`` also checks what a name resolves to.
"""

from __future__ import annotations

import ipaddress
import re
import socket

import httpx

from reference_registry.profiles import Profile

__all__ = [
    "address_is_forbidden",
    "is_loopback",
    "is_web_url",
    "parse_target",
    "registrable_domain",
    "same_origin",
    "target_problem",
    "trusts_realm",
]

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Names under which anybody can register, beside the top-level domains: the second level under
# country codes that are used so, and large hosts of other people's services. A full list would be
# the Public Suffix List; what is missing here is trusted no further than its parent domain.
_SECOND_LEVEL = frozenset(
    {"ac", "co", "com", "edu", "gob", "gov", "gv", "ltd", "mil", "net", "nom"}
)
_SECOND_LEVEL |= {"ne", "or", "org", "plc", "go", "id", "sch", "web", "info", "biz", "me"}
_SHARED_HOSTS = frozenset(
    {
        "amazonaws.com",
        "appspot.com",
        "azurecr.io",
        "azureedge.net",
        "azurewebsites.net",
        "cloudapp.net",
        "cloudfront.net",
        "digitaloceanspaces.com",
        "fly.dev",
        "github.io",
        "githubusercontent.com",
        "gitlab.io",
        "herokuapp.com",
        "netlify.app",
        "ngrok.io",
        "nip.io",
        "ondigitalocean.app",
        "onrender.com",
        "pages.dev",
        "pkg.dev",
        "run.app",
        "sslip.io",
        "trycloudflare.com",
        "vercel.app",
        "windows.net",
        "workers.dev",
    }
)


def parse_target(text: str, base: httpx.URL) -> httpx.URL | None:
    """*text*, which may be relative to *base*, as an absolute http or https URL without fragment;
    None for anything else."""
    try:
        url = base.join(text)
    except (httpx.InvalidURL, ValueError):
        return None
    return url.copy_with(fragment=None) if is_web_url(url) else None


def is_web_url(url: httpx.URL) -> bool:
    """Whether *url* is http or https, with a host and a port that may exist."""
    return (
        url.scheme in {"http", "https"}
        and _HOST.fullmatch(_host(url)) is not None
        and (url.port is None or 0 < url.port < 65536)
    )


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Scheme, host and port are the same (RFC 6454)."""
    return _origin(one) == _origin(other)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, _host(url), url.port or (443 if url.scheme == "https" else 80)


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii").lower().rstrip(".")


def trusts_realm(upstream: httpx.URL, realm: httpx.URL, profile: Profile) -> bool:
    """Whether *realm* may be asked for a token on behalf of *upstream* (profile ``realm_rule``)."""
    if profile.realm_rule == "any":
        return True
    if profile.restricts_targets and upstream.scheme == "https" and realm.scheme == "http":
        return False
    host, realm_host = _host(upstream), _host(realm)
    if (host, upstream.port) == (realm_host, realm.port):
        return True
    if profile.realm_allows_loopback and _same_machine(host, realm_host):
        return True
    domain = registrable_domain(host)
    return domain is not None and domain == registrable_domain(realm_host)


def _same_machine(host: str, other: str) -> bool:
    """The same address, or ``localhost`` and a loopback address. Two different loopback addresses
    may belong to two containers or users."""
    addresses = {_literal(host), _literal(other)}
    if None in addresses:
        return is_loopback(host) and is_loopback(other)
    return len(addresses) == 1


def registrable_domain(host: str) -> str | None:
    """The shortest parent of *host* that belongs to one owner: ``docker.io`` for
    ``auth.docker.io``. None for IP addresses, ``localhost`` and bare suffixes."""
    if _literal(host) is not None:
        return None
    labels = host.lower().rstrip(".").split(".")
    if not all(labels):
        return None
    suffix = 1
    if len(labels) >= 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL:
        suffix = 2
    for length in range(2, len(labels) + 1):
        if ".".join(labels[-length:]) in _SHARED_HOSTS:
            suffix = length
    return ".".join(labels[-suffix - 1 :]) if len(labels) > suffix else None


def target_problem(upstream: httpx.URL, target: httpx.URL) -> str | None:
    """Why a request that *upstream* asks for must not be sent to *target*, or None.

    Another origin gets no request that carries a user name in its URL, none over plain http where
    upstream is https, and none inside our own machine or link unless upstream is there itself.
    """
    if same_origin(upstream, target):
        return None
    if target.userinfo:
        return "it names a user"
    if upstream.scheme == "https" and target.scheme == "http":
        return "it leaves https"
    host = _host(target)
    if is_loopback(host) and is_loopback(_host(upstream)):
        return None
    literal = _literal(host)
    if is_loopback(host) or (literal is not None and address_is_forbidden(literal)):
        return f"{host} is local"
    return None


def address_is_forbidden(address: _Address) -> bool:
    """Whether *address* means this machine or its link (cloud metadata services live there)."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
    )


def is_loopback(host: str) -> bool:
    """Whether *host* is ``localhost``, a name below it (RFC 6761, 6.3), or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    literal = _literal(host)
    if isinstance(literal, ipaddress.IPv6Address) and literal.ipv4_mapped is not None:
        literal = literal.ipv4_mapped
    return literal is not None and literal.is_loopback


def _literal(host: str) -> _Address | None:
    """*host* as an address; also in the old forms that resolvers take, such as ``127.1``."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None
