"""Proxies for the tests of the proxy. Tests here are coroutines, run by anyio's plugin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.in_process import Proxy
from tests.support.upstream_double import UpstreamDouble

MakeProxy = Callable[..., Proxy]

RELEASES = ("2.8", "3.0.0-alpha.1", "3.0", "3.1")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def upstream() -> UpstreamDouble:
    return UpstreamDouble()


@pytest.fixture
def make_proxy(upstream: UpstreamDouble, tmp_path: Path) -> MakeProxy:
    """``make_proxy(profile, **settings)``; see :class:`Proxy`. All share one storage."""

    def make(profile: str = "ideal", **settings: Any) -> Proxy:
        return Proxy(upstream, tmp_path / "root", profile, **settings)

    return make
