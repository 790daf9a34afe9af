"""The stage of the OCI distribution-spec: what it demands of a registry, asked over HTTP alone.

What it demands of reading holds for a registry that was pushed to and for a cache alike, so that
these scenarios run on any target in the role that it has. Each has a repository of its own: a
registry that runs already may be shared, by scenarios and by others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from harness.content import Manifest
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.steps import push

__all__ = ["OVER_HTTP", "ROLES", "SPEC", "Publish", "in_role"]

SPEC = "OCI distribution-spec 1.1"
OVER_HTTP = frozenset[Need]()
"""The needs of a scenario that only asks."""
ROLES = pytest.mark.parametrize("role", ["registry", "cache"])

Publish = Callable[..., None]
"""Takes a repository, a manifest and its tags, and makes them what clients can pull."""


def in_role(
    role: str, target: TargetUnderTest, upstream: MockUpstream
) -> tuple[RunningRegistry, Publish]:
    """*target* as a registry to push to, or as a cache of *upstream*, and how content gets in."""
    if role == "registry":
        registry = target.standard()
        return registry, partial(push, registry)

    def add(repository: str, manifest: Manifest, *tags: str) -> None:
        upstream.add(repository, manifest, tags=tags)

    return target.proxy(upstream), add
