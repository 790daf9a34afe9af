"""The client keeps what arrived, whatever went wrong, and shows no credential."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.http.client import Call, RegistryClient
from tests.unit.targets.conftest import Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


@pytest.fixture
def client(wire: Wire) -> Iterator[RegistryClient]:
    client = RegistryClient(wire.url, secrets=["s3cret"])
    yield client
    client.close()


def request_line(request: bytes) -> bytes:
    return request.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'{"errors":[]}', b'{"errors":[{"code":1}]}']
)
def test_body_without_error_code(client: RegistryClient, wire: Wire, body: bytes) -> None:
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert client.get("/").error_code is None


def test_path_is_sent_as_written(client: RegistryClient, wire: Wire) -> None:
    wire.answer(OK)
    client.get("/v2/../%2e%2E/a?n=1&last=%20b")
    assert request_line(wire.requests[0]) == b"GET /v2/../%2e%2E/a?n=1&last=%20b HTTP/1.1"
    assert client.exchanges[0].path == "/v2/../%2e%2E/a?n=1&last=%20b"


def test_absolute_url_of_the_same_registry(client: RegistryClient, wire: Wire) -> None:
    wire.answer(OK)
    client.put(f"{wire.url}/v2/a/blobs/uploads/1?_state=x", content=b"b", auth=("u", "s3cret"))
    assert request_line(wire.requests[0]) == b"PUT /v2/a/blobs/uploads/1?_state=x HTTP/1.1"
    assert client.exchanges[0].path == "/v2/a/blobs/uploads/1?_state=x"


def test_default_header_can_be_removed(client: RegistryClient, wire: Wire) -> None:
    wire.answer(OK, OK)
    client.get("/")
    client.get("/", headers={"Accept": None, "User-Agent": "docker/24"})
    first, second = (request.lower() for request in wire.requests)
    assert b"\r\naccept: */*\r\n" in first
    assert b"\r\naccept:" not in second
    assert b"\r\nuser-agent: docker/24\r\n" in second


def test_environment_proxies_are_not_used(
    client: RegistryClient, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    wire.answer(OK)
    assert RegistryClient(wire.url).get("/").status == 200


def test_credentials_are_sent_but_not_shown(client: RegistryClient, wire: Wire) -> None:
    wire.answer(OK)
    client.get("/v2/?token=s3cret", auth=("user", "s3cret"))
    assert b"\r\nAuthorization: Basic dXNlcjpzM2NyZXQ=\r\n" in wire.requests[0]
    shown = repr(client.exchanges[0])
    assert "Basic [redacted]" in shown
    assert "s3cret" not in shown
    assert "dXNlcjpzM2NyZXQ=" not in shown


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v2/", "https://127.0.0.1/v2/"])
def test_credentials_are_refused_for_another_host(client: RegistryClient, url: str) -> None:
    with pytest.raises(ValueError, match="are not for"):
        client.get(url, auth=("user", "s3cret"))
    with pytest.raises(ValueError, match="are not for"):
        client.get(url, headers={"Authorization": "Bearer s3cret"})


def test_open_response_is_read_partially(client: RegistryClient, wire: Wire) -> None:
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 5000)
    with client.open("/v2/a/blobs/x") as answer:
        assert answer.status == 200
        assert len(answer.read(100)) >= 100
    assert not answer.complete
    error = client.exchanges[0].error
    assert error is not None
    assert error.startswith("the client left after")


def test_invalid_call_does_not_block_parallel_calls(client: RegistryClient) -> None:
    calls = [Call("GET", "http://other.test/", auth=("u", "p")), Call("GET", "/")]
    with pytest.raises(ValueError, match="are not for"):
        client.parallel(calls)


def test_url_can_change(wire: Wire) -> None:
    client = RegistryClient("http://127.0.0.1:1")
    assert client.get("/").status is None
    client.url = wire.url
    wire.answer(OK)
    assert client.get("/").body == b"hello"
    client.close()
    wire.answer(OK)
    assert client.get("/").status == 200
