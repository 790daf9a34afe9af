"""Reading upstream's responses, with a limit on what is kept in memory; and wording requests for
errors and logs, without credentials and signatures, in Go's words where users know those.
"""

from __future__ import annotations

import errno
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx

from reference_registry.proxy.upstream.challenge import parse_challenges
from reference_registry.proxy.upstream.errors import (
    Refusal,
    UpstreamBroken,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamTimedOut,
)

_ERROR_BODY = 64 * 1024  # bytes of a refusal that are read
_USER = re.compile("//[^/]*@")


async def body_chunks(
    response: httpx.Response, *, decoded: bool = False
) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, as it was sent or *decoded*; the response is closed afterwards.

    Raises :class:`UpstreamBroken` where it ends early or cannot be decoded, and
    :class:`UpstreamTimedOut` where it stands still.
    """
    request = response.request
    method, url = request.method, request.url
    # A transport without a network may have read the body already.
    raw = not decoded and not response.is_stream_consumed
    chunks = response.aiter_raw() if raw else response.aiter_bytes()
    try:
        async for chunk in chunks:
            yield chunk
    except httpx.TimeoutException as error:
        raise UpstreamTimedOut(method, without_query(url), cause_of(error, request)) from error
    except httpx.HTTPError as error:
        cause = cause_of(error, request)
        raise UpstreamBroken(f"{request_name(method, url)}: {cause}", cause) from error
    finally:
        await response.aclose()


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """The whole decoded body; :class:`UpstreamBroken` if it is larger than *limit* bytes."""
    content = bytearray()
    async with aclosing(body_chunks(response, decoded=True)) as chunks:
        async for chunk in chunks:
            content += chunk
            if len(content) > limit:
                name = request_name(response.request.method, response.request.url)
                raise UpstreamBroken(f"{name}: the body is larger than {limit} bytes")
    return bytes(content)


async def refused(method: str, response: httpx.Response) -> UpstreamRefused:
    body, broken = await _beginning(response)
    return UpstreamRefused(
        request_name(method, response.request.url),
        Refusal(
            response.status_code,
            response.reason_phrase,
            body,
            response.headers.get("content-type", "").partition(";")[0].strip().lower(),
            response.headers.get("retry-after"),
            parse_challenges(response.headers.get_list("www-authenticate")),
            broken,
        ),
    )


async def discard(response: httpx.Response) -> bytes:
    """Read a little and close: a connection is reused only if its response was read to the end."""
    return (await _beginning(response))[0]


async def _beginning(response: httpx.Response) -> tuple[bytes, str | None]:
    """The first bytes of the body, and why it broke, if it did."""
    content = bytearray()
    try:
        async with aclosing(body_chunks(response, decoded=True)) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > _ERROR_BODY:
                    break
    except UpstreamFailure as failure:
        cause = failure.cause if isinstance(failure, UpstreamBroken) else str(failure)
        return bytes(content), cause
    return bytes(content[:_ERROR_BODY]), None


# -- wording ---------------------------------------------------------------------------------------
def without_query(url: httpx.URL) -> str:
    """*url* without its query, which may have tokens and signatures, for logs."""
    return str(url.copy_with(query=None, userinfo=b""))


def request_name(method: str, url: httpx.URL) -> str:
    """``GET https://registry.example/v2/...``"""
    return f"{method} {without_query(url)}"


def location_in_words(location: str) -> str:
    """The header ``Location``, of any form, without secrets, for logs."""
    return _USER.sub("//", location).partition("?")[0][:200]


def cause_of(error: Exception, request: httpx.Request) -> str:
    """Why no answer to *request* came, or why its body was cut short."""
    if isinstance(error, httpx.ConnectTimeout):
        return f"dial tcp {_address_of(request.url)}: i/o timeout"
    if isinstance(error, httpx.TimeoutException):
        return "timeout awaiting response"
    if _errno(error) == errno.ECONNREFUSED:
        return f"dial tcp {_address_of(request.url)}: connect: connection refused"
    if _errno(error) == errno.ECONNRESET:
        ours, theirs = request.extensions.get("ends", (None, None))
        source = _in_words(*ours[:2]) if ours else ""
        # The system forgets the peer of a connection that was reset.
        address = _in_words(*theirs[:2]) if theirs else _address_of(request.url)
        return f"read tcp {source}->{address}: read: connection reset by peer"
    if isinstance(error, httpx.RemoteProtocolError):
        if "without sending complete" in str(error):
            return "unexpected EOF"
        if "disconnected" in str(error):
            return "EOF"
    if isinstance(error, httpx.ConnectError) and not str(error).strip("."):
        return f"dial tcp {_address_of(request.url)}"
    return str(error) or type(error).__name__


def _address_of(url: httpx.URL) -> str:
    return _in_words(url.host, url.port or (443 if url.scheme == "https" else 80))


def _in_words(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _errno(error: Exception) -> int | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause.errno
        cause = cause.__cause__ or cause.__context__
    return None
