"""The application around the handlers: order of checks, prefixes, errors, hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from reference_registry.app import Application
from reference_registry.clock import ManualClock
from reference_registry.config import Config, HttpConfig, StorageConfig
from reference_registry.digest import digest_of
from reference_registry.http.hooks import (
    Access,
    AuthenticationBroken,
    ObservedExchange,
    Observer,
    unauthorized,
)
from reference_registry.http.messages import Request
from reference_registry.profiles import PROFILES, profile_named
from reference_registry.registry import StandardRegistry
from tests.unit.registry.conftest import MakeRegistry
from tests.unit.registry.in_process import InProcess

_ABSENT = digest_of(b"absent")


@pytest.mark.parametrize("profile", PROFILES)
def test_base(profile: str, make_registry: MakeRegistry) -> None:
    registry = make_registry(profile)
    kind = profile_named(profile).json_content_type

    for method in ("GET", "POST", "OPTIONS"):
        answer = registry.request(method, "/v2/")
        assert (answer.status_code, answer.content) == (200, b"{}")
        assert answer.headers["content-type"] == kind
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
    assert registry.head("/v2/").content == b""


def test_root(registry: InProcess) -> None:
    answer = registry.get("/")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-cache"
    assert "docker-distribution-api-version" not in answer.headers


def test_unknown_path(registry: InProcess) -> None:
    answer = registry.get("/v3/")

    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v2", "/v2/"),
        ("/v2/a/blobs/uploads?x=1", "/v2/a/blobs/uploads/?x=1"),
        ("http://registry.test/v2/a%22%3Cb/%2e%2e/tags/list", "/v2/tags/list"),
    ],
)
def test_moved(path: str, target: str, registry: InProcess) -> None:
    answer = registry.get(path)

    assert (answer.status_code, answer.headers["location"]) == (301, target)


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v2/a/tags/list", "GET"),
        ("/v2/_catalog", "GET"),
        (f"/v2/a/blobs/{_ABSENT}", "DELETE, GET, HEAD"),
        ("/v2/a/manifests/t", "DELETE, GET, HEAD, PUT"),
        (f"/v2/a/referrers/{_ABSENT}", "GET, HEAD"),
    ],
)
def test_methods(path: str, allow: str, registry: InProcess) -> None:
    refused, options = registry.post(path), registry.request("OPTIONS", path)

    assert (refused.status_code, refused.text) == (405, "Method not allowed\n")
    assert (options.status_code, options.content) == (200, b"")
    assert refused.headers["allow"] == options.headers["allow"] == allow


@pytest.mark.parametrize("name", ["A", "a..b", "a_", "host:5000/a", "a" * 256])
def test_invalid_names(name: str, registry: InProcess) -> None:
    answer = registry.get(f"/v2/{name}/tags/list")

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "NAME_INVALID")


def test_no_name_leads_out_of_the_storage(registry: InProcess) -> None:
    for name in ("%2e%2e/%2e%2e/etc", "..%2f..", "a/%2e%2e/b", "_uploads", "a%00b", "a/_layers"):
        answer = registry.put(f"http://registry.test/v2/{name}/manifests/v1", b"{}")
        assert answer.status_code in {301, 400, 404}
    assert registry.files() == []


@pytest.mark.parametrize("prefix", ["/pre", "/pre/"])
def test_prefix(prefix: str, make_registry: MakeRegistry) -> None:
    registry = make_registry(prefix=prefix)

    assert registry.get("/").status_code == registry.get("/pre/v2/").status_code == 200
    assert registry.get("/v2/").status_code == registry.get("/pre/").status_code == 404
    assert registry.get("/pre/v2").headers["location"] == "/pre/v2/"
    upload = registry.post("/pre/v2/a/blobs/uploads/").headers["location"]
    assert upload.startswith("http://registry.test/pre/v2/a/blobs/uploads/")
    assert registry.put(f"{upload}&digest={digest_of(b'')}").status_code == 201


def test_prefix_without_a_slash_hides_all(make_registry: MakeRegistry) -> None:
    registry = make_registry(prefix="pre")

    assert [registry.get(path).status_code for path in ("/v2/", "/pre/v2/", "/")] == [404, 404, 200]


def test_headers_of_the_configuration(make_registry: MakeRegistry) -> None:
    registry = make_registry(headers={"X-Own": ("1", "2")})

    assert registry.get("/v2/").headers.get_list("x-own") == ["1", "2"]
    assert registry.get("/v2/a/tags/list").headers.get_list("x-own") == ["1", "2"]
    assert "x-own" not in registry.get("/").headers


def test_readonly(make_registry: MakeRegistry) -> None:
    registry = make_registry(readonly=True)

    for method, path in (
        ("POST", "/v2/a/blobs/uploads/"),
        ("PUT", "/v2/a/manifests/v1"),
        ("DELETE", f"/v2/a/blobs/{_ABSENT}"),
    ):
        answer = registry.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert registry.patch("/v2/a/blobs/uploads/some-uuid").status_code == 404
    assert registry.get("/v2/_catalog").status_code == 200


# -- hooks -------------------------------------------------------------------------------------
class _Door:
    """Authenticates every client that sends a name; notes what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    async def authenticate(self, request: Request, access: Sequence[Access]) -> str | None:
        self.asked.append(tuple(f"{a.type}:{a.name}:{a.action}" for a in access))
        user = request.header("authorization")
        if user == "broken":
            raise AuthenticationBroken("no file")
        if user is None:
            raise unauthorized('Basic realm="door"', access)
        return user


class _Gate:
    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def failing(self) -> Mapping[str, str]:
        return self.errors


class _Watcher(Observer):
    def __init__(self) -> None:
        self.started_with: list[str | None] = []
        self.exchanges: list[ObservedExchange] = []

    def started(self, request: Request, handler: str | None) -> None:
        self.started_with.append(handler)

    def finished(self, exchange: ObservedExchange) -> None:
        self.exchanges.append(exchange)


def _app(root: Path, profile: str = "ideal", **hooks: Any) -> Application:
    config = Config(
        storage=StorageConfig(rootdirectory=root),
        http=HttpConfig(secret="s3cret", headers={"X-Own": ("1",)}),
    )
    rules, clock = profile_named(profile), ManualClock()
    return Application(config, rules, clock, StandardRegistry(config, rules, clock), **hooks)


async def _ask(app: Application, method: str, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://r") as client:
        return await client.request(method, path, headers=headers)


def test_authentication(run: Any, tmp_path: Path) -> None:
    door = _Door()
    app = _app(tmp_path, authenticator=door)

    refused = run(_ask(app, "GET", "/v2/a/tags/list"))

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Basic realm="door"'
    assert refused.headers["x-own"] == "1"
    assert refused.json()["errors"] == [
        {
            "code": "UNAUTHORIZED",
            "message": "authentication required",
            "detail": [{"Type": "repository", "Class": "", "Name": "a", "Action": "pull"}],
        }
    ]
    assert run(_ask(app, "GET", "/v2/")).json()["errors"][0]["detail"] is None
    assert run(_ask(app, "GET", "/v2/a/tags/list", authorization="me")).status_code == 404
    assert door.asked == [("repository:a:pull",), (), ("repository:a:pull",)]


def test_authentication_goes_before_names_and_methods(run: Any, tmp_path: Path) -> None:
    app = _app(tmp_path, authenticator=_Door())

    assert run(_ask(app, "GET", "/v2/INVALID/tags/list")).status_code == 401
    assert run(_ask(app, "PUT", "/v2/a/tags/list")).status_code == 401
    assert run(_ask(app, "GET", "/")).status_code == 200
    assert run(_ask(app, "GET", "/unknown")).status_code == 404


@pytest.mark.parametrize(("profile", "status"), [("ideal", 503), ("2.8", 400)])
def test_broken_authentication(profile: str, status: int, run: Any, tmp_path: Path) -> None:
    app = _app(tmp_path, profile, authenticator=_Door())

    answer = run(_ask(app, "GET", "/v2/", authorization="broken"))

    assert answer.status_code == status
    assert (answer.content == b"") == (profile == "2.8")


def test_health_gate_goes_before_everything(run: Any, tmp_path: Path) -> None:
    gate, door = _Gate(), _Door()
    app = _app(tmp_path, health=gate, authenticator=door)
    gate.errors["storagedriver_filesystem"] = "gone"

    for path in ("/", "/v2/", "/unknown"):
        answer = run(_ask(app, "GET", path))
        assert answer.status_code == 503
        assert answer.json()["errors"] == [
            {
                "code": "UNAVAILABLE",
                "message": "service unavailable",
                "detail": "health check failed: please see /debug/health",
            }
        ]
        assert "docker-distribution-api-version" not in answer.headers
    assert door.asked == []
    gate.errors.clear()
    assert run(_ask(app, "GET", "/")).status_code == 200


def test_observers_see_each_exchange(run: Any, tmp_path: Path) -> None:
    watcher = _Watcher()
    app = _app(tmp_path, observers=(watcher,))

    run(_ask(app, "GET", "/v2/"))
    run(_ask(app, "GET", "/"))
    run(_ask(app, "GET", "/v2/a/blobs/uploads/x"))

    assert watcher.started_with == ["base", None, "blob_upload_chunk"]
    assert [(e.handler, e.status, e.complete) for e in watcher.exchanges] == [
        ("base", 200, True),
        (None, 200, True),
        ("blob_upload_chunk", 404, True),
    ]
    assert watcher.exchanges[0].sent == 2
    assert all(e.seconds >= 0 for e in watcher.exchanges)


def test_unforeseen_errors_are_500(run: Any, tmp_path: Path, caplog: Any) -> None:
    class Broken(_Door):
        async def authenticate(self, request: Request, access: Sequence[Access]) -> str | None:
            raise RuntimeError("a bug")

    answer = run(_ask(_app(tmp_path, authenticator=Broken()), "GET", "/v2/"))

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (500, "UNKNOWN")
    assert "a bug" in caplog.text


@pytest.mark.parametrize(
    ("profile", "expected"), [("ideal", (507, "UNAVAILABLE")), ("2.8", (500, "UNKNOWN"))]
)
def test_full_disk(
    profile: str,
    expected: tuple[int, str],
    make_registry: MakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = make_registry(profile)
    location = registry.start_upload("a")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reference_registry.storage.uploads.BlobWriter.append", full)
    answer = registry.patch(location, b"hello")

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == expected


@pytest.mark.parametrize(("profile", "detail"), [("2.8", {"Tag": "zz"}), ("3.0", "unknown tag=zz")])
def test_details_of_wrapped_errors(profile: str, detail: Any, make_registry: MakeRegistry) -> None:
    errors = make_registry(profile).get("/v2/a/manifests/zz").json()["errors"]

    assert errors[0]["detail"] == detail


def test_lack_of_a_secret_is_warned_of(run: Any, tmp_path: Path, caplog: Any) -> None:
    config = Config(storage=StorageConfig(rootdirectory=tmp_path))
    rules, clock = profile_named("2.8"), ManualClock()
    app = Application(config, rules, clock, StandardRegistry(config, rules, clock))

    async def start_and_stop() -> None:
        await app.start()
        await app.stop()

    run(start_and_stop())

    assert "http.secret" in caplog.text


def test_client_leaves_in_mid_upload(registry: InProcess) -> None:
    """What arrived is kept, and the client may come back for the rest."""
    location = httpx.URL(registry.start_upload("a"))
    incoming = [
        {"type": "http.request", "body": b"hel", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PATCH",
        "path": location.path,
        "query_string": location.query,
        "headers": [(b"host", b"registry.test")],
    }
    registry.run(registry.app(scope, receive, send))

    assert sent == []
    status = registry.get(str(location))
    assert status.headers["range"] == "0-2"
    answer = registry.put(f"{status.headers['location']}&digest={digest_of(b'hello')}", b"lo")
    assert answer.status_code == 201
