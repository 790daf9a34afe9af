"""Registries that run already, as an operator started them, for tests of ``url:`` targets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.targets import RunningRegistry, Target, TargetAccess, UrlTarget
from harness.upstream import MockUpstream

Launch = Callable[..., RunningRegistry]


@contextmanager
def a_port() -> Iterator[int]:
    """A port of loopback that is reserved for this test."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def cache_behind(launch: Launch, target: Target, port: int, **settings: Any) -> RunningRegistry:
    """A cache of the upstream that listens on *port*. Releases of distribution need an
    upstream that answers when they start."""
    with MockUpstream(port=port) as first:
        return launch(target, upstream_url=first.url, **settings)


def url_target(registry: RunningRegistry, **access: Any) -> UrlTarget:
    """``url:`` of *registry*; *access* are fields of ``TargetAccess``."""
    return UrlTarget.find(registry.url, TargetAccess(**access))
