"""The lab's event loop in its thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from harness.system.loop import LabLoop


@pytest.fixture
def loop() -> Iterator[LabLoop]:
    loop = LabLoop("test-loop")
    yield loop
    loop.stop()


def test_what_takes_too_long_is_cancelled(loop: LabLoop) -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        loop.run(wait(), timeout=0.01)
    assert cancelled.wait(5)


def test_waiting_for_itself_is_refused(loop: LabLoop) -> None:
    async def nothing() -> None:
        pass

    async def inside() -> None:
        loop.run(nothing())

    with pytest.raises(RuntimeError, match="own thread"):
        loop.run(inside())


def test_stop_cancels_what_runs_and_ends_the_thread(loop: LabLoop) -> None:
    ended = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def start() -> asyncio.Task[None]:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        return task

    task = loop.run(start())
    loop.stop()
    assert ended.is_set()
    assert task.cancelled()
    assert "test-loop" not in {thread.name for thread in threading.enumerate()}
    loop.stop()


def test_it_starts_again_after_a_stop(loop: LabLoop) -> None:
    async def one() -> int:
        return 1

    loop.run(one())
    loop.stop()
    assert loop.run(one()) == 1
