"""Upstreams to test, and a client that sees the wire as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from harness.content import Image, an_image
from harness.upstream import MockUpstream


@pytest.fixture
def make_upstream() -> Iterator[Callable[..., MockUpstream]]:
    """Starts mock upstreams; stops them at the end."""
    with ExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> MockUpstream:
            upstream = MockUpstream(*arguments, **options)
            upstream.start()
            stack.callback(upstream.stop)
            return upstream

        yield make


@pytest.fixture
def upstream(make_upstream: Callable[..., MockUpstream]) -> MockUpstream:
    """An anonymous one."""
    return make_upstream()


@pytest.fixture
def image(upstream: MockUpstream) -> Image:
    """An image that *upstream* has as team/app:v1."""
    return upstream.add("team/app", an_image(), tags=("v1",))


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """httpx for any address; without TLS, whose set-up takes longer than most tests."""
    with httpx.Client(timeout=10, trust_env=False, verify=False) as client:
        yield client


@pytest.fixture
def client(http: httpx.Client, upstream: MockUpstream) -> httpx.Client:
    """httpx, pointed at *upstream*."""
    http.base_url = upstream.url
    return http
