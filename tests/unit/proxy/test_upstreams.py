"""Several upstreams of one cache: what they share, and what they must not share."""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.content import an_image
from reference_registry.app import create_app
from reference_registry.clock import ManualClock
from reference_registry.config import (
    CacheConfig,
    ClientAuthConfig,
    Config,
    ExecConfig,
    HttpConfig,
    ProxyConfig,
    StorageConfig,
    TokenConfig,
    UpstreamConfig,
)
from reference_registry.proxy.blobs import coalesced_fetch
from reference_registry.proxy.registry import ProxyRegistry
from tests.support.in_process import Proxy
from tests.support.upstream_double import Pieces, UpstreamDouble
from tests.support.waiting import until
from tests.unit.server.tokens import ISSUER, SERVICE, TokenServer

MAIN_HOST, OTHER_HOST = "registry.example", "other.example"
KEPT = f"{OTHER_HOST}/team/app"


class Hosts:
    """Two upstreams on one network."""

    def __init__(self) -> None:
        self.main, self.other = UpstreamDouble(), UpstreamDouble()
        self.transport = httpx.MockTransport(self._answer)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        doubles = {MAIN_HOST: self.main, OTHER_HOST: self.other}
        return await doubles[request.url.host].transport.handle_async_request(request)

    def clear(self) -> None:
        self.main.clear()
        self.other.clear()

    @property
    def lines(self) -> list[str]:
        return self.main.lines + self.other.lines


def a_cache(hosts: Hosts, root: Path, other: dict[str, Any] | None = None, **proxy: Any) -> Proxy:
    further = UpstreamConfig(remoteurl=f"http://{OTHER_HOST}", **(other or {}))
    return Proxy(hosts, root, upstreams={OTHER_HOST: further}, **proxy)  # type: ignore[arg-type]


def run(work: Any) -> Any:
    return asyncio.run(work)


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


def manifest(name: str, reference: str) -> str:
    return f"/v2/{name}/manifests/{reference}"


# -- what is under way --------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["cut", "refused"])
def test_a_download_that_fails_at_one_upstream_is_finished_by_the_other(
    hosts: Hosts, tmp_path: Path, failure: str
) -> None:
    """An outage or rate limit of one upstream does not affect clients of the other."""
    image = an_image(layers=1, layer_size=300_000)
    layer = image.layers[0]
    path = f"/v2/team/app/blobs/{layer.digest}"
    gate = asyncio.Event()
    begun = Pieces(layer.content[:100_000], gate, httpx.ReadError("reset"))

    async def refuse(request: httpx.Request) -> httpx.Response:
        await gate.wait()
        return httpx.Response(429, headers={"Retry-After": "7"})

    async def work() -> None:
        cache = a_cache(hosts, tmp_path)
        async with cache.running():
            hosts.other.add("team/app", image)
            headers = {"Content-Length": str(layer.size)}
            cut = httpx.Response(200, headers=headers, stream=begun)
            hosts.main.on(f"GET {path}", *([cut, 503] if failure == "cut" else [refuse]))
            one = asyncio.create_task(_whole(cache, path))
            await until(lambda: hosts.main.lines)
            two = cache.open("GET", f"/v2/{KEPT}/blobs/{layer.digest}")
            if failure == "cut":
                await two.start()  # It reads along.
            gate.set()
            if failure == "refused":
                await two.start()
            await two.read()
            assert two.answer is not None
            assert (two.answer.status, two.answer.body) == (200, layer.content)
            status, body = await one
            is_cut = failure == "cut"  # Then the first upstream had said that it has the blob.
            assert (status, body == layer.content) == (200 if is_cut else 429, is_cut)
            await cache.settled()
            assert cache.local(KEPT).has_blob(layer.digest)
            assert cache.local("team/app").has_blob(layer.digest) is is_cut
            assert cache.uploads() == []

    run(work())


async def _whole(cache: Proxy, path: str) -> tuple[int, bytes]:
    exchange = cache.open("GET", path)
    answer = await exchange.start()
    await exchange.read()
    return answer.status, answer.body


def test_a_slow_upstream_does_not_delay_clients_of_the_other(
    hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalesced_fetch, "_OTHER_UPSTREAM", 0.01)
    image = an_image(layers=1)
    layer = image.layers[0]
    path = f"/v2/team/app/blobs/{layer.digest}"
    gate = asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        await gate.wait()
        return hosts.main.stored(request)

    async def work() -> None:
        cache = a_cache(hosts, tmp_path)
        async with cache.running():
            hosts.main.add("team/app", image)
            hosts.other.add("team/app", image)
            hosts.main.on(f"GET {path}", slow)
            one = asyncio.create_task(_whole(cache, path))
            await until(lambda: hosts.main.lines)
            assert await _whole(cache, f"/v2/{KEPT}/blobs/{layer.digest}") == (200, layer.content)
            gate.set()
            assert await one == (200, layer.content)
            await cache.settled()
            assert cache.local("team/app").has_blob(layer.digest)
            assert cache.uploads() == []

    run(work())


def test_a_download_of_one_upstream_is_not_served_to_another_that_lacks_the_blob(
    hosts: Hosts, tmp_path: Path
) -> None:
    image = an_image(layers=1, layer_size=300_000)
    layer = image.layers[0]
    path = f"/v2/team/app/blobs/{layer.digest}"
    gate = asyncio.Event()
    begun = Pieces(layer.content[:100_000], gate, layer.content[100_000:])

    async def work() -> None:
        cache = a_cache(hosts, tmp_path)
        async with cache.running():
            headers = {"Content-Length": str(layer.size)}
            answer = httpx.Response(200, headers=headers, stream=begun)
            hosts.main.on(f"GET {path}", answer)
            one = asyncio.create_task(_whole(cache, path))
            await until(lambda: begun.taken)
            for method in ("HEAD", "GET"):
                denied = await cache.ask(method, f"{path}?ns={OTHER_HOST}")
                assert denied.status == 404
            gate.set()
            assert await one == (200, layer.content)
            await cache.settled()
            assert not cache.local(KEPT).has_blob(layer.digest)

    run(work())


# -- what is remembered -------------------------------------------------------------------------
def test_a_descriptor_cache_keeps_them_apart(hosts: Hosts, tmp_path: Path) -> None:
    image = an_image()
    layer = image.layers[0]

    async def work() -> None:
        cache = a_cache(hosts, tmp_path, cache=CacheConfig(blobdescriptor="inmemory"))
        async with cache.running():
            hosts.main.add("team/app", image)
            for _ in range(2):
                assert (await cache.get(f"/v2/team/app/blobs/{layer.digest}")).status == 200
                await cache.settled()
            for path in (f"/v2/{KEPT}/blobs/", "/v2/team/app/blobs/"):
                ns = "" if KEPT in path else f"?ns={OTHER_HOST}"
                for method in ("HEAD", "GET"):
                    answer = await cache.ask(method, f"{path}{layer.digest}{ns}")
                    assert answer.status == 404

    run(work())


def test_a_manifest_that_names_another_upstreams_blob(hosts: Hosts, tmp_path: Path) -> None:
    """It says that the blob has another size. Its cached bytes are hashed, and served although
    their upstream cannot be asked."""
    image = an_image()
    layer = image.layers[0]
    document = json.loads(image.content)
    document["layers"][0]["size"] += 1
    lie = json.dumps(document).encode()
    digest = f"sha256:{hashlib.sha256(lie).hexdigest()}"

    async def work() -> None:
        hosts.other.add("team/app", image)
        cache = a_cache(hosts, tmp_path)
        async with cache.running():
            assert (await cache.get(f"/v2/{KEPT}/blobs/{layer.digest}")).status == 200
            await cache.settled()
        cache = a_cache(hosts, tmp_path)
        async with cache.running():
            headers = {"Content-Type": image.media_type}
            lying = httpx.Response(200, headers=headers, content=lie)
            hosts.main.on(f"GET {manifest('team/app', digest)}", lying)
            assert (await cache.get(manifest("team/app", digest))).status == 200
            hosts.other.down = True
            for _ in range(2):
                answer = await cache.get(f"/v2/{KEPT}/blobs/{layer.digest}")
                assert (answer.status, answer.body) == (200, layer.content)

    run(work())


def test_the_schedule_has_the_kept_name_and_each_its_ttl(hosts: Hosts, tmp_path: Path) -> None:
    image = an_image()

    async def work() -> None:
        clock = ManualClock()
        cache = a_cache(hosts, tmp_path, {"ttl": None}, clock=clock, ttl=timedelta(hours=1))
        async with cache.running():
            for double in (hosts.main, hosts.other):
                double.add("team/app", image)
            for name in ("team/app", KEPT):
                assert (await cache.get(manifest(name, image.digest))).status == 200
            assert set(cache.scheduled) == {f"team/app@{image.digest}"}
            clock.advance(timedelta(hours=2))
            await until(lambda: not cache.scheduled)
            assert not cache.local("team/app").has_manifest(image.digest)
            assert cache.local(KEPT).has_manifest(image.digest)

    run(work())


def test_nothing_is_scheduled_where_nothing_expires(hosts: Hosts, tmp_path: Path) -> None:
    async def work() -> None:
        assert a_cache(hosts, tmp_path, {"ttl": None}, ttl=None).registry.expiry is None
        assert a_cache(hosts, tmp_path, ttl=None).registry.expiry is not None

    run(work())


# -- credentials --------------------------------------------------------------------------------
def test_each_has_its_own_challenge_and_login(hosts: Hosts, tmp_path: Path) -> None:
    """A challenge of one is not answered with the login of another, nor by asking it."""
    image = an_image()

    async def work() -> None:
        cache = a_cache(hosts, tmp_path, {"username": "bob", "password": "builder"})
        async with cache.running():
            for double in (hosts.main, hosts.other):
                double.add("team/app", image)
                double.challenge = 'Basic realm="here"'
            statuses = [
                (await cache.get(manifest(name, image.digest))).status
                for name in ("team/app", KEPT)
            ]
            assert statuses == [403, 200]
            sent = [r.headers.get("authorization") for r in hosts.main.requests]
            assert set(sent) == {None}
            basic = f"Basic {b64encode(b'bob:builder').decode()}"
            assert {r.headers.get("authorization") for r in hosts.other.requests} == {None, basic}

    run(work())


def test_a_realm_of_one_gets_no_login_of_another(hosts: Hosts, tmp_path: Path) -> None:
    """The first upstream sends us to the other's host for a token."""

    async def work() -> None:
        cache = a_cache(
            hosts,
            tmp_path,
            {"username": "bob", "password": "builder"},
            username="alice",
            password="wonderland",
        )
        async with cache.running():
            hosts.main.challenge = f'Bearer realm="http://{OTHER_HOST}/token",service="x"'
            hosts.other.on("* /token", httpx.Response(200, json={"token": "stolen"}))
            answer = await cache.get(manifest("team/app", "v1"))
            assert answer.status == 403
            assert hosts.other.requests == []

    run(work())


# -- clients ------------------------------------------------------------------------------------
def test_a_token_permits_what_a_repository_is_kept_as(hosts: Hosts, tmp_path: Path) -> None:
    """``team/app`` of two upstreams are two repositories: a token for one does not open the other,
    by whichever name it is asked for."""
    server = TokenServer()
    (tmp_path / "root.pem").write_bytes(server.bundle)
    image = an_image()
    config = Config(
        storage=StorageConfig(rootdirectory=tmp_path / "storage"),
        http=HttpConfig(secret="s3cret"),
        auth=ClientAuthConfig(
            token=TokenConfig(
                realm="https://auth.test/token",
                service=SERVICE,
                issuer=ISSUER,
                rootcertbundle=tmp_path / "root.pem",
            )
        ),
        proxy=ProxyConfig(
            remoteurl=f"http://{MAIN_HOST}",
            upstreams={OTHER_HOST: UpstreamConfig(remoteurl=f"http://{OTHER_HOST}")},
        ),
    )

    def token(*names: str) -> str:
        access = [{"type": "repository", "name": name, "actions": ["pull"]} for name in names]
        return f"Bearer {server.token(access=access)}"

    async def work() -> None:
        cache = Proxy(hosts, tmp_path / "storage")  # type: ignore[arg-type]
        cache.app = create_app(config, upstream=hosts.transport)
        assert isinstance(cache.app.registry, ProxyRegistry)
        cache.registry = cache.app.registry
        async with cache.running():
            for double in (hosts.main, hosts.other):
                double.add("team/app", image)
            plain = manifest("team/app", image.digest)
            by_ns = f"{plain}?ns={OTHER_HOST}"
            by_prefix = manifest(KEPT, image.digest)

            challenge = (await cache.get(by_ns)).headers["www-authenticate"]
            assert f'scope="repository:{KEPT}:pull"' in challenge
            assert hosts.lines == []
            for path, name in ((plain, "team/app"), (by_ns, KEPT), (by_prefix, KEPT)):
                other = KEPT if name == "team/app" else "team/app"
                assert (await cache.get(path, authorization=token(other))).status == 401
                assert (await cache.get(path, authorization=token(name))).status == 200

            unknown = await cache.get(f"{plain}?ns=gcr.io")
            assert (unknown.status, unknown.code) == (401, "UNAUTHORIZED")
            known = await cache.get(f"{plain}?ns=gcr.io", authorization=token("team/app"))
            assert (known.status, known.code) == (404, "NAME_UNKNOWN")

    run(work())


# -- offline ------------------------------------------------------------------------------------
def test_offline_asks_no_helper_and_no_token_server(hosts: Hosts, tmp_path: Path) -> None:
    """Also where it is known from before what upstream asks for."""
    called = tmp_path / "called"
    helper = tmp_path / "docker-credential-test"
    said = json.dumps({"Username": "bob", "Secret": "builder"})
    helper.write_text(f"#!/bin/sh\ncat >/dev/null\necho >> {called}\necho '{said}'\n")
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    other = {"exec": ExecConfig(command=str(helper), lifetime=timedelta(0))}
    image = an_image()

    async def work() -> None:
        cache = a_cache(hosts, tmp_path / "storage", other)
        async with cache.running():
            hosts.other.add("team/app", image)
            hosts.other.challenge = 'Basic realm="here"'
            assert (await cache.get(manifest(KEPT, image.digest))).status == 200
            assert called.exists()
            called.unlink()
            hosts.clear()
            switch = tmp_path / "storage" / ".pullproof" / "offline"
            switch.parent.mkdir(parents=True, exist_ok=True)
            switch.touch()
            for path in (manifest(KEPT, "v1"), f"/v2/{KEPT}/blobs/{image.layers[0].digest}"):
                answer = await cache.get(path)
                assert (answer.status, answer.code) == (504, "UNAVAILABLE")
            assert not called.exists()
            assert hosts.lines == []
            switch.unlink()
            assert (await cache.get(f"/v2/{KEPT}/blobs/{image.layers[0].digest}")).status == 200

    run(work())


def test_a_download_does_not_go_on_by_a_new_request(hosts: Hosts, tmp_path: Path) -> None:
    """What is on its way may come; where it breaks off, the rest is not asked for."""
    image = an_image(layers=1, layer_size=300_000)
    layer = image.layers[0]
    path = f"/v2/team/app/blobs/{layer.digest}"
    gate = asyncio.Event()
    begun = Pieces(layer.content[:100_000], gate, httpx.ReadError("reset"))

    async def work() -> None:
        cache = a_cache(hosts, tmp_path)
        async with cache.running():
            headers = {"Content-Length": str(layer.size)}
            hosts.main.on(f"GET {path}", httpx.Response(200, headers=headers, stream=begun), 200)
            one = asyncio.create_task(_whole(cache, path))
            await until(lambda: begun.taken)
            (tmp_path / ".pullproof" / "offline").touch()
            gate.set()
            _, body = await one
            assert len(body) < layer.size
            await cache.settled()
            assert hosts.lines == [f"GET {path}"]
            assert not cache.local("team/app").has_blob(layer.digest)

    run(work())


def test_a_release_has_no_switch(hosts: Hosts, tmp_path: Path) -> None:
    """Nothing of it is looked at: neither the file nor the keys."""
    image = an_image()

    async def work() -> None:
        cache = Proxy(hosts, tmp_path, "3.1")  # type: ignore[arg-type]
        (tmp_path / ".pullproof").mkdir()
        (tmp_path / ".pullproof" / "offline").touch()
        hosts.main.add("team/app", image, "v1")
        async with cache.running():
            path = manifest("team/app", "v1") + f"?ns={OTHER_HOST}"
            answer = await cache.get(path, accept=image.media_type)
            assert answer.status == 200
            assert "oci-namespace" not in answer.headers

    run(work())
