"""Waiting for conditions instead of for some time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object]) -> None:
    """Let background tasks run until *condition* is true; ``TimeoutError`` after a minute."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - files and threads set no event
            await asyncio.sleep(0.001)
