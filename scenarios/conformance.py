"""Helpers for conformance with the OCI distribution-spec, tested over HTTP only.

Requirements on reading apply to a registry and to a cache, so these scenarios run in both roles.
Each uses a repository of its own, since a running registry may be shared.
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

SPEC = "OCI distribution-spec 1.1"
OVER_HTTP = frozenset[Need]()
"""The needs of a scenario that only sends requests."""
ROLES = pytest.mark.parametrize("role", ["registry", "cache"])

Publish = Callable[..., None]
"""Takes a repository, a manifest and its tags, and makes them available to clients."""


def in_role(
    role: str, target: TargetUnderTest, upstream: MockUpstream
) -> tuple[RunningRegistry, Publish]:
    """*target* as a registry or as a cache of *upstream*, and a function that publishes content."""
    if role == "registry":
        registry = target.standard()
        return registry, partial(push, registry)

    def add(repository: str, manifest: Manifest, *tags: str) -> None:
        upstream.add(repository, manifest, tags=tags)

    return target.proxy(upstream), add
