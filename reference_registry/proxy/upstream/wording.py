"""How exchanges with upstream are named in errors and logs: without credentials and signatures, and
in Go's words where a user will have seen them before."""

from __future__ import annotations

import errno
import ipaddress
import re
from typing import Any

import httpx

__all__ = [
    "both_ends",
    "broken_off",
    "cause_of",
    "location_in_words",
    "request_name",
    "without_query",
]

_USER = re.compile("//[^/]*@")


def without_query(url: httpx.URL) -> str:
    """*url* as it may stand in a log: tokens and signatures are in queries."""
    return str(url.copy_with(query=None, userinfo=b""))


def request_name(method: str, url: httpx.URL) -> str:
    """``GET https://registry.example/v2/...``"""
    return f"{method} {without_query(url)}"


def location_in_words(location: str) -> str:
    """The header ``Location``, of whatever form, as it may stand in a log."""
    return _USER.sub("//", location).partition("?")[0][:200]


def cause_of(error: Exception, url: httpx.URL, ends: tuple[Any, Any] = (None, None)) -> str:
    """Why no answer came; *ends* are the addresses of the connection, where there was one."""
    address = _in_words(url.host, _port_of(url))
    if isinstance(error, httpx.ConnectTimeout):
        return f"dial tcp {address}: i/o timeout"
    if isinstance(error, httpx.TimeoutException):
        return "timeout awaiting response"
    if _errno(error) == errno.ECONNREFUSED:
        return f"dial tcp {address}: connect: connection refused"
    if _errno(error) == errno.ECONNRESET:
        ours = _in_words(*ends[0][:2]) if ends[0] else ""
        return f"read tcp {ours}->{address}: read: connection reset by peer"
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" in str(error):
        return "EOF"
    if isinstance(error, httpx.ConnectError) and not str(error).strip("."):
        return f"dial tcp {address}"
    return str(error) or type(error).__name__


def broken_off(error: Exception, ends: str) -> str:
    """Why a body ended before its end; *ends* are those of its connection."""
    if isinstance(error, httpx.RemoteProtocolError) and "without sending complete" in str(error):
        return "unexpected EOF"
    if _errno(error) == errno.ECONNRESET:
        return f"read tcp {ends}: read: connection reset by peer"
    return str(error) or type(error).__name__


def both_ends(response: httpx.Response) -> str:
    """``<our address>-><upstream's>`` of the connection that *response* comes from, as long as it
    is open."""
    stream = response.extensions.get("network_stream")
    if stream is None:
        return "->"
    ends = [stream.get_extra_info(name) for name in ("client_addr", "server_addr")]
    texts = [_in_words(address[0], address[1]) if address else "" for address in ends]
    if not texts[1]:  # The system forgets the other end of a connection that has been reset.
        texts[1] = _address_of(response.request.url)
    return "->".join(texts)


def _address_of(url: httpx.URL) -> str:
    """Host and port of *url* where they are an address, else nothing."""
    try:
        ipaddress.ip_address(url.host)
    except ValueError:
        return ""
    return _in_words(url.host, _port_of(url))


def _in_words(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _port_of(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _errno(error: Exception) -> int | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause.errno
        cause = cause.__cause__ or cause.__context__
    return None
