"""``http.tls``: certificates, client certificates, versions."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from reference_registry.config import Config, HttpConfig, StorageConfig, TlsConfig
from reference_registry.config.problem import CannotStart
from reference_registry.digest import digest_of
from reference_registry.server.server import Server
from tests.unit.server.certificates import make_authority, make_certificate

Pair = tuple[Path, Path]

_REFUSED = (httpx.TransportError, ssl.SSLError)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server_pair(authority: Pair) -> Pair:
    return make_certificate(authority[0].parent, "server", authority)


@pytest.fixture(scope="module")
def client_pair(authority: Pair) -> Pair:
    return make_certificate(authority[0].parent, "client", authority)


def _server(pair: Pair, **settings: Any) -> Server:
    tls = TlsConfig(certificate=pair[0], key=pair[1], **settings)
    http = HttpConfig(addr="127.0.0.1:0", secret="s", tls=tls)
    return Server(Config(storage=StorageConfig(driver="inmemory"), http=http))


async def _asked(server: Server, context: ssl.SSLContext) -> httpx.Response:
    await server.start()
    try:
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            return await client.get(f"{server.url}/v2/")
    finally:
        await server.stop()


def _trusting(authority: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority[0]))


def test_https(authority: Pair, server_pair: Pair) -> None:
    server = _server(server_pair)
    answer = asyncio.run(_asked(server, _trusting(authority)))
    assert answer.json() == {}
    assert server.url.startswith("https://127.0.0.1:")


@pytest.mark.parametrize("bundles", [1, 2])
def test_client_certificates(
    bundles: int, authority: Pair, server_pair: Pair, client_pair: Pair, tmp_path: Path
) -> None:
    others = [make_authority(tmp_path, f"other{n}")[0] for n in range(bundles - 1)]
    server = _server(server_pair, clientcas=(*others, authority[0]))
    context = _trusting(authority)
    context.load_cert_chain(*client_pair)
    assert asyncio.run(_asked(server, context)).json() == {}
    with pytest.raises(_REFUSED):
        asyncio.run(_asked(_server(server_pair, clientcas=(authority[0],)), _trusting(authority)))


def test_minimum_version(authority: Pair, server_pair: Pair) -> None:
    old = _trusting(authority)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert asyncio.run(_asked(_server(server_pair), old)).json() == {}
    with pytest.raises(_REFUSED):
        asyncio.run(_asked(_server(server_pair, minimumtls="tls1.3"), old))


def test_a_blob_larger_than_the_buffers(authority: Pair, server_pair: Pair, tmp_path: Path) -> None:
    """A file goes through TLS in chunks; sendfile(2) cannot encrypt."""
    content = bytes(range(256)) * 20_000
    digest = digest_of(content)
    tls = TlsConfig(certificate=server_pair[0], key=server_pair[1])
    storage = StorageConfig(driver="filesystem", rootdirectory=tmp_path)
    server = Server(Config(storage=storage, http=HttpConfig(addr="127.0.0.1:0", tls=tls)))

    async def pulled() -> bytes:
        await server.start()
        try:
            async with httpx.AsyncClient(verify=_trusting(authority), trust_env=False) as client:
                started = await client.post(f"{server.url}/v2/a/blobs/uploads/")
                location = started.headers["location"]
                assert location.startswith("https://")
                stored = await client.put(location, params={"digest": digest}, content=content)
                assert stored.status_code == 201
                return (await client.get(f"{server.url}/v2/a/blobs/{digest}")).content
        finally:
            await server.stop()

    assert asyncio.run(pulled()) == content


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        ("/no/cert.pem", "server.key", r"http\.tls\.certificate: no such file: /no/cert\.pem"),
        ("server.pem", "/no/key.pem", r"http\.tls\.key: no such file: /no/key\.pem"),
        (
            "server.pem",
            "client.key",
            r"http\.tls\.certificate: .* are not a certificate and its key",
        ),
        (
            "server.key",
            "server.key",
            r"http\.tls\.certificate: .* are not a certificate and its key",
        ),
    ],
)
def test_unusable_files(
    certificate: str, key: str, message: str, server_pair: Pair, client_pair: Pair
) -> None:
    directory = server_pair[0].parent
    with pytest.raises(CannotStart, match=message):
        asyncio.run(_server((directory / certificate, directory / key)).start())


def test_an_unusable_authority(server_pair: Pair) -> None:
    with pytest.raises(CannotStart, match=r"http\.tls\.clientcas: cannot read .*server\.key"):
        asyncio.run(_server(server_pair, clientcas=(server_pair[1],)).start())
