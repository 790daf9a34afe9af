"""How exchanges with upstream are named in errors and logs: without credentials and signatures."""

from __future__ import annotations

import errno

import httpx

__all__ = ["cause_of", "request_name", "without_query"]


def without_query(url: httpx.URL) -> str:
    """*url* as it may stand in a log: tokens and signatures are in queries."""
    return str(url.copy_with(query=None, userinfo=b""))


def request_name(method: str, url: httpx.URL) -> str:
    """``GET https://registry.example/v2/...``"""
    return f"{method} {without_query(url)}"


def cause_of(error: Exception, url: httpx.URL) -> str:
    """The reason of a failed exchange, in Go's words where a user will have seen them before."""
    address = f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)}"
    if isinstance(error, httpx.ConnectTimeout):
        return f"dial tcp {address}: i/o timeout"
    if isinstance(error, httpx.TimeoutException):
        return "timeout awaiting response"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return f"dial tcp {address}: connect: connection refused"
        if isinstance(cause, OSError) and cause.errno == errno.ECONNRESET:
            return f"read tcp {address}: connection reset by peer"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError) and not str(error).strip("."):
        return f"dial tcp {address}"
    return str(error) or type(error).__name__
