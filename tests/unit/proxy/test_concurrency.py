"""Single flight, background tasks, and writing to disk while reading from the network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from reference_registry.proxy.blobs.download import Room, WriteBehind
from reference_registry.proxy.tasks import Background, SingleFlight

pytestmark = pytest.mark.anyio


# -- single flight ---------------------------------------------------------------------------------
class Attempt:
    """An attempt that ends when ``done`` is set."""

    def __init__(self) -> None:
        self.calls = 0
        self.done = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.calls += 1
        await self.done.wait()
        if self.error is not None:
            raise self.error
        return self.calls


async def started(*tasks: asyncio.Task[int]) -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_one_attempt_for_all_who_ask_meanwhile() -> None:
    flight, attempt = SingleFlight[str, int](), Attempt()
    tasks = [asyncio.create_task(flight.run("k", attempt)) for _ in range(5)]
    other = asyncio.create_task(flight.run("other", attempt))
    await started(*tasks, other)
    assert attempt.calls == 2
    attempt.done.set()
    assert await asyncio.gather(*tasks) == [2] * 5
    assert await other == 2


async def test_nothing_is_remembered() -> None:
    flight, attempt = SingleFlight[str, int](), Attempt()
    attempt.done.set()
    assert await flight.run("k", attempt) == 1
    assert await flight.run("k", attempt) == 2


async def test_all_get_the_failure_and_the_next_tries_again() -> None:
    flight, attempt = SingleFlight[str, int](), Attempt()
    attempt.error = ConnectionError("no")
    tasks = [asyncio.create_task(flight.run("k", attempt)) for _ in range(3)]
    await started(*tasks)
    attempt.done.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for r in results] == [ConnectionError] * 3
    attempt.error = None
    assert await flight.run("k", attempt) == 2


async def test_the_first_may_leave() -> None:
    flight, attempt = SingleFlight[str, int](), Attempt()
    first, second = (asyncio.create_task(flight.run("k", attempt)) for _ in range(2))
    await started(first, second)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    attempt.done.set()
    assert await second == 1
    assert first.cancelled()


async def test_all_may_leave() -> None:
    flight, attempt = SingleFlight[str, int](), Attempt()
    attempt.error = ConnectionError("no caller is left")
    only = asyncio.create_task(flight.run("k", attempt))
    await started(only)
    only.cancel()
    await asyncio.gather(only, return_exceptions=True)
    attempt.done.set()
    await flight.stop()


async def test_stopping_cancels() -> None:
    flight, attempt = SingleFlight[str, int](), Attempt()
    waiting = asyncio.create_task(flight.run("k", attempt))
    await started(waiting)
    await flight.stop()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# -- write behind ----------------------------------------------------------------------------------
class Disk:
    """Writes when it is allowed to, in the thread that it is called in."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.reported = 0
        self.allowed = threading.Semaphore(0)
        self.error: OSError | None = None

    def write(self, chunks: Sequence[bytes]) -> None:
        assert self.allowed.acquire(timeout=20)
        if self.error is not None:
            raise self.error
        self.pieces.append(b"".join(chunks))

    def written(self, count: int) -> None:
        self.reported += count


async def test_what_arrives_during_a_write_is_one_piece() -> None:
    disk = Disk()
    behind = WriteBehind(disk.write, disk.written)
    large = b"x" * (1 << 20)
    for chunk in (large, b"b", b"c", b"d"):
        await behind.put(chunk)
    disk.allowed.release(2)
    await behind.flush()
    assert disk.pieces == [large, b"bcd"]
    assert disk.reported == len(large) + 3


async def test_little_is_written_after_a_moment() -> None:
    disk = Disk()
    behind = WriteBehind(disk.write, disk.written)
    await behind.put(b"a")
    await behind.put(b"b")
    disk.allowed.release(1)
    async with asyncio.timeout(20):
        while disk.reported < 2:  # noqa: ASYNC110 - a thread counts
            await asyncio.sleep(0.001)
    assert disk.pieces == [b"ab"]


async def test_what_has_arrived_is_written_although_nothing_follows() -> None:
    disk = Disk()
    behind = WriteBehind(disk.write, disk.written)
    large = b"x" * (1 << 20)
    await behind.put(large)
    await behind.put(b"b")
    disk.allowed.release(2)
    async with asyncio.timeout(20):
        while disk.reported <= len(large):  # noqa: ASYNC110 - a thread counts
            await asyncio.sleep(0.001)
    assert disk.pieces == [large, b"b"]
    await behind.flush()


async def test_a_slow_disk_holds_the_source_up() -> None:
    disk = Disk()
    behind = WriteBehind(disk.write, disk.written)
    megabyte = b"x" * (1 << 20)
    for _ in range(4):
        await behind.put(megabyte)
    waiting = asyncio.create_task(behind.put(megabyte))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    disk.allowed.release(10)
    await waiting
    await behind.flush()
    assert disk.reported == 5 * len(megabyte)


async def test_room_is_shared() -> None:
    """One may take more than its share while others take less, and all of it is given back."""
    room = Room(10 << 20)
    one, two = Disk(), Disk()
    first, second = (WriteBehind(disk.write, disk.written, room) for disk in (one, two))
    megabyte = b"x" * (1 << 20)
    for _ in range(10):
        await first.put(megabyte)
    for _ in range(4):
        await second.put(megabyte)
    waiting = asyncio.create_task(second.put(megabyte))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    one.allowed.release(10)
    await first.abandon()
    two.allowed.release(10)
    await waiting
    await second.flush()
    assert room.is_enough(10 << 20)
    room.take(10 << 20)
    assert room.is_enough(10 << 20)


async def test_a_failing_write_raises_for_the_next_caller() -> None:
    disk = Disk()
    disk.error = OSError(28, "No space left on device")
    behind = WriteBehind(disk.write, disk.written)
    await behind.put(b"a")
    disk.allowed.release(10)
    with pytest.raises(OSError, match="No space left"):
        await behind.flush()


async def test_abandoning_waits_for_the_write_under_way() -> None:
    disk = Disk()
    behind = WriteBehind(disk.write, disk.written)
    large = b"x" * (1 << 20)
    await behind.put(large)
    await behind.put(b"b")
    abandoning = asyncio.create_task(behind.abandon())
    await asyncio.sleep(0)
    assert not abandoning.done()
    disk.allowed.release(10)
    await abandoning
    assert disk.pieces == [large]


# -- background ------------------------------------------------------------------------------------
async def test_background_work_is_waited_for_or_cancelled() -> None:
    background, go = Background(), asyncio.Event()
    done: list[str] = []

    async def work(name: str) -> None:
        await go.wait()
        done.append(name)

    background.start(work("first"))
    go.set()
    await background.settled()
    assert done == ["first"]
    go.clear()
    background.start(work("second"))
    await asyncio.sleep(0)
    await background.stop()
    assert done == ["first"]


async def test_a_failure_in_the_background_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    background = Background()

    async def work() -> None:
        raise ValueError("oops")

    background.start(work())
    await background.settled()
    await asyncio.sleep(0)
    assert "Error in the background: oops" in caplog.text
