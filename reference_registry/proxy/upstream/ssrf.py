"""The SSRF policy: which other hosts upstream may refer us to, by token realms, redirects and next
pages.

A URL from upstream makes us send a request from inside our own network, so it is checked first, and
credentials go only to hosts of upstream's own site (CVE-2026-33540). A name is harmless until it is
resolved, so its addresses are checked twice: before a request, for a clear error, and by the
connection itself, so that a name server that changes its answer in between (DNS rebinding) gains
nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import cache
from typing import TYPE_CHECKING, Literal

import httpx

from reference_registry.profiles import Profile

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Reach = Literal["public", "private", "here", "link"]
"""Who can have an address: anyone, a host of our private network, this machine, or a host on its
link."""

Resolve = Callable[[str], Awaitable[list[str]]]
"""The addresses of a host name; empty if it does not exist."""

_SHARED_HOSTS = ("azurecr.io", "nip.io", "pkg.dev", "sslip.io")
"""Domains that the Public Suffix List lacks, whose subdomains have different owners: registries of
many customers, and names that resolve to any address."""


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
        and _HOST.fullmatch(host_in(url)) is not None
        and (url.port is None or 0 < url.port < 65536)
    )


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Scheme, host and port are the same (RFC 6454)."""
    return _origin(one) == _origin(other)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, host_in(url), url.port or (443 if url.scheme == "https" else 80)


def host_in(url: httpx.URL) -> str:
    """The host of *url* in ASCII, normalised for comparison."""
    return host_of(url.raw_host.decode("ascii"))


def host_of(name: str) -> str:
    """*name* normalised for comparison: lower case, without the final dot."""
    return name.lower().rstrip(".")


def trusts_realm(upstream: httpx.URL, realm: httpx.URL, profile: Profile) -> bool:
    """Whether *realm* may be asked for a token on behalf of *upstream* (profile ``realm_rule``)."""
    if profile.realm_rule == "any":
        return True
    if profile.restricts_targets and upstream.scheme == "https" and realm.scheme == "http":
        return False
    host, realm_host = host_in(upstream), host_in(realm)
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
    """The shortest parent of *host* that belongs to one owner, by the Public Suffix List:
    ``docker.io`` for ``auth.docker.io``. None for IP addresses, ``localhost`` and suffixes."""
    if _literal(host) is not None:
        return None
    name = host_of(host)
    if not all(name.split(".")):
        return None
    for shared in _SHARED_HOSTS:
        below, dot, _ = name.rpartition(f".{shared}")
        if name == shared or (dot and name.endswith(dot)):
            return f"{below.rpartition('.')[2]}.{shared}" if below else None
    return _public_suffixes().privatesuffix(name)


@cache
def _public_suffixes() -> PublicSuffixList:
    """Read on first use, since that takes a while."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def target_problem(
    upstream: httpx.URL, target: httpx.URL, local_hosts: Collection[str] = ()
) -> str | None:
    """Why a request that *upstream* asks for must not be sent to *target*, or None.

    Another origin gets no request that carries a user name in its URL, none over plain http where
    upstream is https, and none inside our own machine or link unless upstream is there itself, or
    the host is one of *local_hosts* (``proxy.x-local-hosts``).
    """
    if same_origin(upstream, target):
        return None
    if target.userinfo:
        return "it names a user"
    if upstream.scheme == "https" and target.scheme == "http":
        return "it leaves https"
    host = host_in(target)
    if host in local_hosts or (is_loopback(host) and is_loopback(host_in(upstream))):
        return None
    literal = _literal(host)
    if is_loopback(host) or (literal is not None and reach_of(literal) in {"here", "link"}):
        return f"{host} is local"
    return None


def reach_of(address: _Address) -> Reach:
    """Who can be at *address*, by the registries of special addresses (RFC 6890)."""
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if within is None and address in _NAT64:
            within = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if within is not None:
            return reach_of(within)
    if address.is_loopback or address.is_unspecified:
        return "here"
    if address.is_link_local or address.is_multicast:
        return "link"
    return "public" if address.is_global else "private"


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


# -- what names resolve to ------------------------------------------------------------------------
class TargetAddresses:
    """The policy for one upstream on *host*. *local_hosts* may have any address
    (``proxy.x-local-hosts``)."""

    def __init__(self, host: str, local_hosts: Collection[str], resolve: Resolve) -> None:
        self._host = host
        self._local_hosts = frozenset(local_hosts)
        self._resolve = resolve

    async def problem(self, host: str) -> str | None:
        """Why no request may go to *host*, or None. A name without an address is not a problem:
        the connection fails and says why."""
        found = await self._resolve(host)
        permitted = await self.permitted(host, found)
        return None if len(permitted) == len(found) else f"{host} is local"

    async def permitted(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Those *addresses* of *host* that may be connected to.

        Upstream's own host may have any address. Others may have a public one; one of a private
        network if upstream's own is private; either, or one of this machine, if upstream is this
        machine. Link-local addresses, where clouds have their metadata services, are never allowed.
        """
        addresses = list(addresses)
        if host_of(host) in {self._host, *self._local_hosts}:
            return addresses
        reaches = [_reach(address) for address in addresses]
        allowed = {"public"}
        if not allowed.issuperset(reaches):
            allowed |= await self._also_allowed()
        return [a for a, reach in zip(addresses, reaches, strict=True) if reach in allowed]

    async def _also_allowed(self) -> set[str]:
        if is_loopback(self._host):
            return {"here", "private"}
        own = {_reach(address) for address in await self._resolve(self._host)}
        return {"private"} if "private" in own else set()


async def addresses_of(host: str) -> list[str]:
    """What the system resolves *host* to, a name or an address."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


def _reach(address: str) -> Reach:
    return reach_of(ipaddress.ip_address(address.partition("%")[0]))
