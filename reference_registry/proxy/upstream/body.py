"""Reading what upstream answers, with a bound where it is kept in memory."""

from __future__ import annotations

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
from reference_registry.proxy.upstream.wording import (
    both_ends,
    broken_off,
    cause_of,
    request_name,
    without_query,
)

__all__ = ["body_chunks", "discard", "read_body", "refused"]

_ERROR_BODY = 64 * 1024  # bytes of a refusal that are read


async def body_chunks(
    response: httpx.Response, *, decoded: bool = False
) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, as it was sent or *decoded*; the response is closed afterwards.

    Raises :class:`UpstreamBroken` where it ends early or cannot be decoded, and
    :class:`UpstreamTimedOut` where it stands still.
    """
    method, url = response.request.method, response.request.url
    ends = both_ends(response)
    # A transport that is no network may have given the body with the answer.
    raw = not decoded and not response.is_stream_consumed
    chunks = response.aiter_raw() if raw else response.aiter_bytes()
    try:
        async for chunk in chunks:
            yield chunk
    except httpx.TimeoutException as error:
        raise UpstreamTimedOut(method, without_query(url), cause_of(error, url)) from error
    except httpx.HTTPError as error:
        cause = broken_off(error, ends)
        raise UpstreamBroken(f"{request_name(method, url)}: {cause}", cause) from error
    finally:
        await response.aclose()


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """The whole decoded body; :class:`UpstreamBroken` where it is larger than *limit* bytes."""
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
    """Close, after reading a little, since only a connection read to the end is used again."""
    return (await _beginning(response))[0]


async def _beginning(response: httpx.Response) -> tuple[bytes, str | None]:
    """The first bytes of the body, and why there were no more of them, if something broke."""
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
