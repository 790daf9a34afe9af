"""Which addresses the hosts may have that upstream sends us to.

A name is harmless until it is resolved, so what it stands for is looked at twice: before a request,
for a clear answer, and by the connection itself, so that a name server which changes its mind in
between (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable

from reference_registry.proxy.upstream.ssrf import Reach, host_of, is_loopback, reach_of

__all__ = ["Resolve", "TargetAddresses", "addresses_of"]

Resolve = Callable[[str], Awaitable[list[str]]]
"""The addresses of a host name; none where there is no such name."""


class TargetAddresses:
    """The rule for one upstream on *host*. *local_hosts* may have any address
    (``proxy.x-local-hosts``)."""

    def __init__(self, host: str, local_hosts: Collection[str], resolve: Resolve) -> None:
        self._host = host
        self._local_hosts = frozenset(local_hosts)
        self._resolve = resolve

    async def problem(self, host: str) -> str | None:
        """Why no request may go to *host*, or None. A name without an address is no problem: the
        connection will fail by itself, and say why."""
        found = await self._resolve(host)
        permitted = await self.permitted(host, found)
        return None if len(permitted) == len(found) else f"{host} is local"

    async def permitted(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Those of *addresses*, which *host* stands for, that may be connected to.

        Upstream's own host may have any. Others have a public one, or one of a private network
        where upstream's own is private; where upstream is this machine, one of either. Addresses of
        the link, where cloud providers have their metadata services, are for nobody.
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
    """What the system resolves *host* to, which may be an address."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


def _reach(address: str) -> Reach:
    return reach_of(ipaddress.ip_address(address.partition("%")[0]))
