"""Helpers for scenarios with real clients: names, an image, and the requests that the cache got.

A real client's requests do not pass through the harness; what it asked of the cache stands in the
cache's access log, and what it asked of the source in a ledger.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import count

from harness.clients.source_network import SourceNetwork
from harness.content import Image, an_image
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream, RateLimit

HUB = "registry-1.docker.io"
"""Where clients find Docker Hub's images."""
SOURCE = "source.example"
"""Any other registry."""
TAG = "v1"
IMAGE = f"{SOURCE}/team/app:{TAG}"
CONTAINERD_1_6 = "measured on containerd 1.6.20"
NEEDS = frozenset({Need.CONFIG, Need.LOGS})
NO_USE = ("down", "lacks-it", "limited", "wants-a-password")
"""How a mirror can fail a client, for :func:`a_mirror`."""

Asked = dict[str, int]
"""How often each kind of request was made: ``{"GET blob 200": 2}``."""

_numbers = count(1)
_LINE = re.compile(r'"(\w+) (/v2/[^ "]*) HTTP/1\.1" (\d{3})')


def a_new_image(platform: str = "linux/amd64") -> Image:
    """An image of one layer that no client of this process has seen: they keep manifests and
    layers by digest, even of images that were removed."""
    return an_image(f"image {next(_numbers)}", layers=1, platform=platform)


def known_upstream(upstream: MockUpstream, repository: str = "library/app") -> Image:
    """A new image that *upstream* has under :data:`TAG`."""
    return upstream.add(repository, a_new_image(), tags=(TAG,))


def a_source(
    internet: SourceNetwork, upstream: MockUpstream, make_upstream: Callable[[], MockUpstream]
) -> MockUpstream:
    """The registry that images name, where clients find it, with the image of the cache's
    *upstream*."""
    source = make_upstream()
    source.add("team/app", known_upstream(upstream, "team/app"), tags=(TAG,))
    internet.lead({SOURCE: source.url})
    return source


def a_mirror(
    how: str,
    target: TargetUnderTest,
    upstream: MockUpstream,
    image: Image,
    repository: str = "team/app",
) -> RunningRegistry:
    """A cache of *upstream*, which has *image*; failing if *how* is one of :data:`NO_USE`."""
    if how != "lacks-it":
        upstream.add(repository, image, tags=(TAG,))
    wants_password = how == "wants-a-password"
    cache = target.proxy(upstream, htpasswd={"user": "secret"} if wants_password else None)
    if how == "down":
        cache.stop()
    if how == "limited":
        upstream.limit(RateLimit(0))
        upstream.on("HEAD", kind="manifest").status(429)
    return cache


def name_of(cache: RunningRegistry) -> str:
    """``127.0.0.1:PORT``: the cache in the name of an image."""
    return cache.url.removeprefix("http://")


def hosts_toml(mirror: str, settings: str = "") -> str:
    """For containerd: the source, with *mirror* and its *settings* before it."""
    return f'server = "https://{SOURCE}"\n[host."{mirror}"]\n{settings}'


def pull_of_one_layer(*, head: bool, status: int = 200) -> Asked:
    """What one pull of :func:`known_upstream` by tag asks, with or without a HEAD first."""
    first = {f"HEAD manifest {status}": 1} if head else {}
    return first | {f"GET manifest {status}": 1, f"GET blob {status}": 2}


def asked_cache(
    cache: RunningRegistry, expected: Asked | None = None, *, timeout: float = 3.0
) -> Asked:
    """What clients asked of *cache* so far, but for ``/v2/``, whose number depends on what a client
    remembers. A log may lag behind: *expected* is waited for, *timeout* seconds at
    most."""

    def counted() -> Asked:
        found = (_LINE.search(line) for line in cache.logs().splitlines())
        kinds = Counter(
            f"{match[1]} {kind} {match[3]}"
            for match in found
            if match and (kind := _kind(match[2].partition("?")[0]))
        )
        return dict(sorted(kinds.items()))

    if expected is not None:
        cache.eventually(lambda: counted() == dict(sorted(expected.items())), timeout=timeout)
    return counted()


def asked_source(source: MockUpstream) -> Asked:
    """The requests that *source* got so far, except for ``/v2/``."""
    kinds = Counter(
        f"{entry.method} {entry.kind} {entry.status}"
        for entry in source.ledger.entries
        if entry.kind != "base"
    )
    return dict(sorted(kinds.items()))


def downloaded(upstream: MockUpstream) -> int:
    """How many different blobs were fetched from *upstream*: whether each once is another scenario,
    and some releases do so again in the background."""
    return len({entry.digest for entry in upstream.ledger.select("GET", kind="blob")})


def _kind(path: str) -> str:
    for part, kind in {
        "/blobs/uploads/": "upload",
        "/manifests/": "manifest",
        "/blobs/": "blob",
        "/tags/list": "tags",
    }.items():
        if part in path:
            return kind
    return ""
