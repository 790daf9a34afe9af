"""Registries for the tests of the reference registry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.unit.registry.in_process import InProcess

MakeRegistry = Callable[..., InProcess]


@pytest.fixture
def run() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs coroutines, one after the other, in one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def make_registry(tmp_path: Path) -> Iterator[MakeRegistry]:
    """``make_registry(profile, **changes)``; see :class:`InProcess`."""
    with ExitStack() as stack:

        def make(profile: str = "ideal", **changes: object) -> InProcess:
            return stack.enter_context(InProcess(tmp_path / "root", profile, **changes))

        yield make


@pytest.fixture
def registry(make_registry: MakeRegistry) -> InProcess:
    """``ideal``, with deletion enabled."""
    return make_registry(delete_enabled=True)
