"""What upstream's redirects and realms may resolve to, before a request and at the connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import httpx
import pytest

from harness.upstream import MockUpstream
from reference_registry.clock import ManualClock
from reference_registry.config import ProxyConfig
from reference_registry.profiles import IDEAL
from reference_registry.proxy.upstream.errors import UpstreamFailure, UpstreamUnreachable
from reference_registry.proxy.upstream.ssrf import TargetAddresses, addresses_of
from reference_registry.proxy.upstream.upstream import Upstream

pytestmark = pytest.mark.anyio

NAMES = {
    "registry.example": ["140.82.121.4"],
    "registry.corp.example": ["10.0.0.7"],
    "cdn.example": ["140.82.121.9", "2606:50c0:8000::153"],
    "store.corp.example": ["10.0.0.8"],
    "mixed.example": ["140.82.121.9", "10.0.0.8"],
    "metadata.example": ["169.254.169.254"],
    "here.example": ["127.0.0.1"],
    "localhost": ["::1", "127.0.0.1"],
}


async def resolve(host: str) -> list[str]:
    return NAMES.get(host, [host] if host[0].isdigit() else [])


@pytest.mark.parametrize(
    ("upstream", "target", "is_allowed"),
    [
        ("registry.example", "cdn.example", True),
        ("registry.example", "store.corp.example", False),
        ("registry.example", "mixed.example", False),
        ("registry.example", "metadata.example", False),
        ("registry.example", "here.example", False),
        ("registry.example", "10.0.0.8", False),
        ("registry.example", "REGISTRY.example.", True),
        ("registry.example", "nowhere.example", True),
        ("registry.corp.example", "store.corp.example", True),
        ("registry.corp.example", "10.0.0.8", True),
        ("registry.corp.example", "metadata.example", False),
        ("registry.corp.example", "here.example", False),
        ("10.0.0.7", "store.corp.example", True),
        ("localhost", "here.example", True),
        ("127.0.0.1", "store.corp.example", True),
        ("127.0.0.1", "metadata.example", False),
    ],
)
async def test_where_upstream_may_send_us(upstream: str, target: str, is_allowed: bool) -> None:
    problem = await TargetAddresses(upstream, (), resolve).problem(target)
    assert problem == (None if is_allowed else f"{target} is local")


async def test_hosts_of_the_configuration_may_be_anywhere() -> None:
    addresses = TargetAddresses("registry.example", ["store.corp.example"], resolve)
    assert await addresses.problem("STORE.corp.example") is None
    assert await addresses.problem("here.example") is not None


async def test_of_several_addresses_the_public_ones_are_connected_to() -> None:
    addresses = TargetAddresses("registry.example", (), resolve)
    assert await addresses.permitted("mixed.example", NAMES["mixed.example"]) == ["140.82.121.9"]


async def test_the_system_resolves() -> None:
    assert await addresses_of("127.0.0.1") == ["127.0.0.1"]
    assert await addresses_of("no.such.host.invalid") == []


# -- the connection itself -------------------------------------------------------------------------
@pytest.fixture
async def client() -> AsyncIterator[Upstream]:
    """Of an upstream with a public address, on a network without a web proxy."""

    async def public(host: str) -> list[str]:
        return ["140.82.121.4"]

    client = Upstream(
        ProxyConfig(remoteurl="http://registry.example"), IDEAL, ManualClock(), resolve=public
    )
    yield client
    await client.aclose()


@pytest.fixture
def upstream() -> Iterator[MockUpstream]:
    with MockUpstream() as upstream:
        yield upstream


async def test_a_name_that_changes_its_mind_is_not_connected_to(
    client: Upstream, upstream: MockUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when it was looked at, and this machine when it is connected to."""
    port = int(upstream.url.rpartition(":")[2])
    asked = []

    async def rebound(
        self: object, host: str, port: int = 0, family: int = 0
    ) -> list[dict[str, object]]:
        asked.append(host)
        kind = {"family": socket.AF_INET, "proto": 0, "flags": 0}
        return [{"hostname": host, "host": "127.0.0.1", "port": port, **kind}]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", rebound)
    with pytest.raises(UpstreamUnreachable, match=r"rebinder\.example is local"):
        await client.fetch(httpx.URL(f"http://rebinder.example:{port}/"), None)
    assert set(asked) == {"rebinder.example"}
    assert list(upstream.ledger.entries) == []

    # Upstream's own name may be this machine, by /etc/hosts for one.
    with pytest.raises(UpstreamFailure) as refusal:
        await client.fetch(httpx.URL(f"http://registry.example:{port}/x"), None)
    assert "local" not in str(refusal.value)
    await asyncio.to_thread(upstream.ledger.wait_idle)
    assert len(upstream.ledger.entries) == 1
