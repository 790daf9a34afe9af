"""Listening sockets, bound without SO_REUSEPORT so that an address in use is an error."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

from reference_registry.config.addresses import ListenAddress
from reference_registry.config.problem import CannotStart

__all__ = ["BACKLOG", "listen_on", "listen_on_path"]

BACKLOG = 1024


def listen_on(address: ListenAddress, *, key: str) -> socket.socket:
    """A listening TCP socket. *key* is the configuration key of *address*.

    Raises :class:`CannotStart` if the address is in use, not permitted, or not an address of
    this machine.
    """
    family, host = _resolved(address.host, key)
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Bind even if connections of an earlier process are still in TIME_WAIT.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by accepted connections: send the first bytes of a stream without delay.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family is socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind((host, address.port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise _refused(key, str(address), error) from None
    bound.setblocking(False)
    return bound


def listen_on_path(path: Path, *, key: str) -> socket.socket:
    """A listening Unix socket; a socket file that a dead process left at *path* is
    replaced."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            pass
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                path.unlink()
        except OSError as error:
            raise _refused(key, str(path), error) from None
        else:
            raise CannotStart(key, f"{path} is in use", "stop the other process")
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise _refused(key, str(path), error) from None
    bound.setblocking(False)
    return bound


def _refused(key: str, where: str, error: OSError) -> CannotStart:
    reason = (error.strerror or str(error)).lower()
    fix = "stop the other process or choose another address"
    return CannotStart(key, f"cannot listen on {where}: {reason}", fix)


def _resolved(host: str, key: str) -> tuple[socket.AddressFamily, str]:
    """The numeric address of *host*, IPv4 first as in Go; all IPv4 and IPv6 interfaces for ""."""
    if not host:
        both = socket.has_dualstack_ipv6()
        return (socket.AF_INET6, "::") if both else (socket.AF_INET, "0.0.0.0")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise CannotStart(key, f"unknown host {host!r}", "write :PORT") from None
    family, _, _, _, name = min(found, key=lambda entry: entry[0] is not socket.AF_INET)
    return family, str(name[0])
