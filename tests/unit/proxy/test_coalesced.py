"""Who of those that read a blob while it comes waits for what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from reference_registry.digest import Digest, digest_of
from reference_registry.proxy.blobs import write_pipeline
from reference_registry.repository import Descriptor
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.uploads import BlobWriter
from tests.support.upstream_double import UpstreamDouble
from tests.unit.proxy.conftest import MakeProxy

pytestmark = pytest.mark.anyio

BLOB = bytes(range(256)) * 400
DIGEST = Digest(digest_of(BLOB))
PATH = f"/v2/team/app/blobs/{DIGEST}"


class Gate:
    """Holds a worker thread up until it is opened."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self.open = self._opened.set

    def pass_through(self) -> None:
        assert self._opened.wait(timeout=30)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def upstream() -> UpstreamDouble:
    upstream = UpstreamDouble()
    upstream.add_blob("team/app", BLOB, DIGEST)
    return upstream


async def test_the_first_does_not_wait_for_the_disk(
    make_proxy: MakeProxy, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another does; and neither has the last byte before all has been verified and stored."""
    write = BlobWriter.write

    def slow(self: BlobWriter, chunks: Sequence[bytes]) -> None:
        gate.pass_through()
        write(self, chunks)

    monkeypatch.setattr(BlobWriter, "write", slow)
    async with make_proxy().running() as proxy:
        first = proxy.open("GET", PATH)
        await first.start()
        assert await first.read(len(BLOB) - 1) == BLOB[:-1]
        second = proxy.open("GET", PATH)
        await second.start()
        waiting = asyncio.create_task(second.read())
        for _ in range(10):
            await asyncio.sleep(0)
        assert second.answer is not None
        assert second.answer.body == b""
        gate.open()
        assert await first.read() == BLOB[-1:]
        assert await waiting == BLOB
        assert (await proxy.get(PATH)).body == BLOB


@pytest.mark.parametrize("large", [True, False])
async def test_the_last_byte_of_a_large_blob_does_not_wait_for_the_store(
    make_proxy: MakeProxy, gate: Gate, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """That of a small one does: what the client does next may be to look there."""
    commit = LocalRepository.commit_blob
    committing = threading.Event()

    def slow(
        self: LocalRepository, writer: BlobWriter, digest: Digest, **options: Any
    ) -> Descriptor:
        committing.set()
        gate.pass_through()
        return commit(self, writer, digest, **options)

    monkeypatch.setattr(LocalRepository, "commit_blob", slow)
    monkeypatch.setattr(write_pipeline, "_LARGE", len(BLOB) + (0 if large else 1))
    async with make_proxy().running() as proxy:
        exchange = proxy.open("GET", PATH)
        await exchange.start()
        got = await exchange.read(len(BLOB) - 1)
        assert await asyncio.to_thread(committing.wait, 30)
        last = asyncio.create_task(exchange.read(1))
        for _ in range(10):
            await asyncio.sleep(0)
        if large:
            got += b"" if len(got) == len(BLOB) else await last
            assert got == BLOB
        else:
            assert got == BLOB[:-1]
            assert not last.done()
        assert not proxy.local("team/app").has_blob(DIGEST)
        gate.open()
        await proxy.settled()
        got += await last if not large else b""
        assert got == BLOB
        assert proxy.local("team/app").has_blob(DIGEST)
        last.cancel()


async def test_the_disk_fails_after_the_last_byte(
    make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has the blob, whole; only the cache has not."""

    def fail(self: LocalRepository, *given: Any, **options: Any) -> Descriptor:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write_pipeline, "_LARGE", 0)
    async with make_proxy().running() as proxy:
        with monkeypatch.context() as patch:
            patch.setattr(LocalRepository, "commit_blob", fail)
            answer = await proxy.get(PATH)
            assert (answer.body, answer.cut) == (BLOB, False)
            await proxy.settled()
            assert proxy.uploads() == []
            assert not proxy.local("team/app").has_blob(DIGEST)
        assert (await proxy.get(PATH)).body == BLOB
