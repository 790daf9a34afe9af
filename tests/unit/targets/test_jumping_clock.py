"""The clock runs, and any thread can turn it."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

from harness.targets.in_process import JumpingClock

HOUR = timedelta(hours=1)


def test_sleepers_wake_when_their_moment_comes_and_not_before() -> None:
    clock = JumpingClock()

    async def sleep() -> list[int]:
        woken: list[int] = []

        async def until(hours: int) -> None:
            await clock.sleep_until(begun + hours * HOUR)
            woken.append(hours)

        begun = clock.now()
        sleepers = [asyncio.create_task(until(hours)) for hours in (3, 1)]
        await asyncio.sleep(0)
        for leap in (30, 40):
            threading.Thread(target=clock.advance, args=(timedelta(minutes=leap),)).start()
        await sleepers[1]
        assert woken == [1]
        clock.advance(2 * HOUR)
        await sleepers[0]
        return woken

    assert asyncio.run(asyncio.wait_for(sleep(), 30)) == [1, 3]


def test_sleepers_of_a_closed_loop_do_not_matter() -> None:
    clock = JumpingClock()

    async def leave() -> None:
        asyncio.get_running_loop().create_task(clock.sleep_until(clock.now() + HOUR)).cancel()
        await asyncio.sleep(0)

    asyncio.run(leave())
    clock.advance(2 * HOUR)
