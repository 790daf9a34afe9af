"""The state machine of a download, and what its readers wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from reference_registry.digest import Digest, digest_of
from reference_registry.proxy.blobs import download
from reference_registry.proxy.blobs.coalesced import (
    TRANSITIONS,
    DiskFailed,
    DownloadFailed,
    DownloadProgress,
    Event,
    State,
)
from reference_registry.proxy.upstream.client import BlobInfo
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
    """Blocks worker threads until it is opened."""

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


async def test_the_fastest_reader_does_not_wait_for_the_disk(
    make_proxy: MakeProxy, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another reader does. Neither has the last byte before all is verified and stored."""
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
    """The last byte of a small blob does wait, so that its client finds it in the cache."""
    commit = LocalRepository.commit_blob
    committing = threading.Event()

    def slow(
        self: LocalRepository, writer: BlobWriter, digest: Digest, **options: Any
    ) -> Descriptor:
        committing.set()
        gate.pass_through()
        return commit(self, writer, digest, **options)

    monkeypatch.setattr(LocalRepository, "commit_blob", slow)
    monkeypatch.setattr(download, "_LARGE", len(BLOB) + (0 if large else 1))
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
    """The client has the complete blob; the cache does not."""

    def fail(self: LocalRepository, *given: Any, **options: Any) -> Descriptor:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_LARGE", 0)
    async with make_proxy().running() as proxy:
        with monkeypatch.context() as patch:
            patch.setattr(LocalRepository, "commit_blob", fail)
            answer = await proxy.get(PATH)
            assert (answer.body, answer.cut) == (BLOB, False)
            await proxy.settled()
            assert proxy.uploads() == []
            assert not proxy.local("team/app").has_blob(DIGEST)
        assert (await proxy.get(PATH)).body == BLOB


# -- the table -------------------------------------------------------------------------------------
def test_every_state_is_reached_and_only_two_are_final() -> None:
    reached = {state for state, _ in TRANSITIONS.values()}
    left = {state for state, _ in TRANSITIONS}
    assert reached | {State.ASKING} == set(State)
    assert set(State) - left == {State.STORED, State.FAILED}
    assert all((state, Event.FAILED) in TRANSITIONS for state in left)


async def readable(progress: DownloadProgress) -> list[int]:
    """How many bytes two readers get without waiting: the fastest and another."""

    counts = [0, 0]

    async def read(reader: int) -> None:
        async for chunk in progress.chunks(0, len(BLOB)):
            counts[reader] += len(chunk)
            await asyncio.sleep(0)  # Let the other one start.

    readers = [asyncio.create_task(read(reader)) for reader in range(2)]
    for _ in range(10):
        await asyncio.sleep(0)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    return counts


@pytest.mark.parametrize(
    ("state", "fastest", "other"),
    [
        (State.STREAMING, len(BLOB) - 1, 100),
        (State.VERIFIED, len(BLOB), 100),
        (State.FAILED, len(BLOB) - 1, 100),
    ],
)
async def test_what_readers_get_in_each_state(
    make_proxy: MakeProxy, state: State, fastest: int, other: int
) -> None:
    async with make_proxy().running() as proxy:
        storage = proxy.registry.local.storage
        progress = DownloadProgress(DIGEST, storage)
        writer = proxy.local("team/app").blob_writer()
        progress.answered(BlobInfo(len(BLOB), "application/octet-stream"), writer.data_path)
        progress.arrived(BLOB[:100])
        writer.append(BLOB[:100])
        progress.written(100)
        progress.arrived(BLOB[100:])
        if state is State.VERIFIED:
            progress.happen(Event.VERIFIED)
        if state is State.FAILED:
            progress.failed(DiskFailed("full"))
        got = await readable(progress)
        writer.discard()
    assert (progress.state, got) == (state, [fastest, other])


async def test_a_failure_before_the_answer_is_raised_to_who_asks_for_the_size(
    make_proxy: MakeProxy,
) -> None:
    async with make_proxy().running() as proxy:
        progress = DownloadProgress(DIGEST, proxy.registry.local.storage)
        asking = asyncio.create_task(progress.known())
        await asyncio.sleep(0)
        progress.failed(DownloadFailed("gone"))
        with pytest.raises(DownloadFailed, match="gone"):
            await asking
