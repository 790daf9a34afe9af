"""A registry that remembers what it was asked, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.http.client import RegistryClient
from harness.upstream import MockUpstream


@pytest.fixture
def registry() -> Iterator[MockUpstream]:
    """What is asked: answers as scripted."""
    with MockUpstream() as upstream:
        yield upstream


@pytest.fixture
def client(registry: MockUpstream) -> Iterator[RegistryClient]:
    """Who asks."""
    client = RegistryClient(registry.url)
    yield client
    client.close()
