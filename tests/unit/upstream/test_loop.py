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
