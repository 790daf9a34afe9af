"""Plain requests for tests of what needs no server."""

from __future__ import annotations

from collections.abc import AsyncIterator

from reference_registry.http.messages import Request


def a_request(
    path: str = "/v2/",
    method: str = "GET",
    *,
    query: str = "",
    scheme: str = "http",
    **headers: str,
) -> Request:
    """A request without a body; header names with underscores for hyphens."""
    return Request(
        method=method,
        path=path,
        query_string=query,
        headers={name.replace("_", "-"): (value,) for name, value in headers.items()},
        scheme=scheme,
        body=_nothing(),
    )


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
