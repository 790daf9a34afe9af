"""The network below requests to upstream: aiohttp behind the interface of httpx.

httpx's own transport takes a body in pieces of at most 64 KiB and passes each through four layers;
aiohttp parses in C, so that a request costs a third of the processor time, and a body a fifth
(docs/performance.md). Everything that aiohttp does automatically is turned off: redirects, cookies,
decoding, ``.netrc``, proxies of the environment (:func:`web_proxy_for` chooses those), and retries,
except the one that HTTP itself asks for.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from functools import cache
from types import SimpleNamespace
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
import yarl
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler

from reference_registry.proxy.upstream.ssrf import TargetAddresses, host_of, is_loopback

_BUFFER = 512 * 1024
"""Bytes of a body that may wait for their reader; above twice as many, receiving pauses."""
_HEAD = 64 * 1024
"""Limit of one header line in bytes. Signed locations are long."""
_HEADERS = 256
_KEPT = 30.0  # seconds that an idle connection is kept
_NOTHING_BY_ITSELF = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

_NoAnswer = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)
_NoConnection = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@cache
def trusted_authorities() -> ssl.SSLContext:
    """The system's, or those of ``SSL_CERT_FILE``; read once, since that takes a while."""
    trusted = httpx.create_ssl_context()
    trusted.set_alpn_protocols(["http/1.1"])
    return trusted


class NetworkTransport(httpx.AsyncBaseTransport):
    """Connections to any host, kept for the next request. Raises what httpx's own transport raises
    for the same failures. *addresses* says what may be connected to.

    Used in one event loop.
    """

    def __init__(self, addresses: TargetAddresses | None = None) -> None:
        resolver = aiohttp.ThreadedResolver() if addresses is None else _Resolver(addresses)
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, use_dns_cache=False, keepalive_timeout=_KEPT, resolver=resolver
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=_NOTHING_BY_ITSELF,
            request_class=_Request,
            read_bufsize=_BUFFER,
            max_line_size=_HEAD,
            max_field_size=_HEAD,
            max_headers=_HEADERS,
            trace_configs=[tracing],
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, whose body has not been read; raises :class:`httpx.TransportError`."""
        url = request.url
        proxy = web_proxy_for(url)
        secure = url.scheme == "https" or (proxy is not None and proxy.startswith("https:"))
        attempt = _Attempt(request)
        try:
            answer = await self._session.request(
                request.method,
                # Unchanged, since it may be signed; a user in it was not meant for that host.
                yarl.URL(str(url.copy_with(userinfo=b"") if url.userinfo else url), encoded=True),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                allow_redirects=False,
                timeout=_timeout(*map(request.extensions["timeout"].get, ("connect", "read"))),
                proxy=proxy,
                ssl=trusted_authorities() if secure else True,
                trace_request_ctx=attempt,
                middlewares=(attempt.send,),
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _as_httpx(error) from error
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=_Body(answer, attempt.ending),
            extensions={"reason_phrase": (answer.reason or "").encode("ascii", "ignore")},
        )

    async def aclose(self) -> None:
        await self._session.close()


class _Resolver(aiohttp.ThreadedResolver):
    """Resolves names as the system does, without the addresses that the SSRF policy forbids. Web
    proxies are not upstream's choice, and resolve names themselves."""

    def __init__(self, addresses: TargetAddresses) -> None:
        super().__init__()
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        if is_web_proxy(host):
            return found
        permitted = await self._addresses.permitted(host, [result["host"] for result in found])
        if not permitted:
            raise OSError(None, f"refused to connect: {host} is local")
        return [result for result in found if result["host"] in permitted]


class _Request(aiohttp.ClientRequest):
    """Reports the connection that it uses: nothing else does once that is broken."""

    attempt: _Attempt | None = None

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        if self.attempt is not None:
            self.attempt.goes_over(conn)
        return await super().send(conn)


class _Attempt:
    """One request, and whether its connection was used before."""

    def __init__(self, request: httpx.Request) -> None:
        self.reused = False
        self.ending: ResponseHandler | None = None
        """The connection, if it must not be reused."""
        self._extensions = request.extensions

    def goes_over(self, connection: aiohttp.connector.Connection) -> None:
        """Note our address and the peer's of *connection*, for ``cause_of``."""
        transport = connection.transport
        if transport is not None:
            ends = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
            self._extensions["ends"] = ends
        if self._extensions.get("last"):
            self.ending = connection.protocol

    async def send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Retry if a kept connection turns out to be closed (RFC 9112, 9.3.1). A new connection
        without an answer is a failure; aiohttp would retry that too."""
        if isinstance(request, _Request):
            request.attempt = self
        while True:
            self.reused = False
            try:
                return await handler(request)
            except _NoConnection:
                raise
            except _NoAnswer as error:
                if not self.reused:
                    raise _as_httpx(error) from error


async def _note_reuse(session: object, context: SimpleNamespace, params: object) -> None:
    context.trace_request_ctx.reused = True


class _Body(httpx.AsyncByteStream):
    """The body of *answer* as it arrives; read it once. *ending* is closed with it."""

    def __init__(self, answer: aiohttp.ClientResponse, ending: ResponseHandler | None) -> None:
        self._answer = answer
        self._ending = ending

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._answer.content
        protocol = self._answer.connection and self._answer.connection.protocol
        try:
            while piece := await content.readany():
                yield piece
            return
        except (aiohttp.ClientError, TimeoutError) as error:
            broken = error
        # Deliver what came before the break; the reader would raise instead.
        content.set_exception(None)  # type: ignore[arg-type]
        if rest := content.read_nowait():
            yield rest
        lost = protocol.exception() if protocol is not None else None
        if isinstance(lost, aiohttp.ClientOSError):
            raise httpx.ReadError(str(lost)) from lost
        raise _as_httpx(broken) from broken

    async def aclose(self) -> None:
        self._answer.close()
        if self._ending is not None:
            self._ending.close()


@cache
def _timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect, sock_read=read)


def _as_httpx(error: Exception) -> httpx.TransportError:
    """The exception that httpx's own transport raises for *error*."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout(str(error))
        case TimeoutError():
            return httpx.ReadTimeout(str(error))
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError(str(error.os_error))
        case aiohttp.ServerDisconnectedError():
            return httpx.RemoteProtocolError("Server disconnected without sending a response.")
        case aiohttp.ClientPayloadError():
            said = f"peer closed connection without sending complete message body ({error})"
            return httpx.RemoteProtocolError(said)
        case aiohttp.ClientHttpProxyError():
            return httpx.ProxyError(f"{error.status} {error.message}")
        case OSError():
            return httpx.ReadError(str(error))
        case aiohttp.ClientError():
            return httpx.RemoteProtocolError(str(error))
    return httpx.LocalProtocolError(str(error))  # a header that cannot be sent


# -- web proxies -----------------------------------------------------------------------------------
def web_proxy_for(url: httpx.URL) -> str | None:
    """The URL of the web proxy for *url* or None, by ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``
    and ``NO_PROXY`` when the first request is sent, or the system's settings. As in Go, loopback
    hosts never have one."""
    proxies = _proxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or is_loopback(url.host) or proxy_bypass(url.netloc.decode("ascii")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_web_proxy(host: str) -> bool:
    """Whether *host* is one of the proxies."""
    urls = (urlsplit(proxy if "://" in proxy else f"//{proxy}") for proxy in _proxies().values())
    return host_of(host) in {url.hostname for url in urls}


@cache
def _proxies() -> Mapping[str, str]:
    return getproxies()
