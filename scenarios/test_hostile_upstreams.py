"""Hostile upstreams: compressed bombs, lists and blobs without an end, and bytes that drip."""

from __future__ import annotations

import gzip
import time
from itertools import count
from pathlib import Path

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Image, a_layer, an_image
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.system.ports import scaled
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from harness.upstream.calls import Call, Match
from harness.upstream.faults import Action, Fault
from harness.upstream.replies import Reply
from scenarios.pulling import blob_path, manifest_path, pull_image
from scenarios.steps import OBSERVED, settle

REPOSITORY = "team/app"
MIB = 1 << 20
scenario = theme("security")


@scenario(
    "compression-bomb",
    "A compressed answer from upstream does not grow the memory by what it expands to",
    refs=("CWE-409: Data Amplification", "RFC 9110, 8.4 Content-Encoding"),
    needs=OBSERVED | {Need.PROCESS},
)
@pytest.mark.parametrize("times", [1, 2], ids=["gzip", "gzip-gzip"])
@pytest.mark.parametrize("what", ["manifest", "error", "tags"])
def test_compression_bomb(
    what: str,
    times: int,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A few kilobytes from a hostile upstream can otherwise end a cache that serves many others."""
    cache = target.proxy(upstream)
    pull_image(cache, REPOSITORY, image, "v1")
    before = _memory(cache, "VmRSS")
    body = bytes(256 * MIB)
    for _ in range(times):
        body = gzip.compress(body, 1)
    coding = ", ".join(["gzip"] * times)
    headers = {"Content-Type": image.media_type, "Content-Encoding": coding}
    status = 500 if what == "error" else 200
    upstream.on("GET", kind="tags" if what == "tags" else "manifest").status(status, headers, body)

    path = f"/v2/{REPOSITORY}/tags/list" if what == "tags" else manifest_path(REPOSITORY, "v2")
    cache.get(path, headers=ACCEPT)

    expect.client("grew by more than 64 MiB", _memory(cache, "VmHWM") - before > 64 * MIB, False)
    upstream.clear_faults()
    expect.client("still serves", pull_image(cache, REPOSITORY, image, "v1").complete, True)


@scenario(
    "endless-tags",
    "A tag list whose pages never end costs a bounded number of upstream requests",
    refs=("OCI distribution-spec: Listing Tags", "CWE-835: Infinite Loop"),
)
@pytest.mark.parametrize("how", ["same-page", "new-pages"])
def test_endless_tags(
    how: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A cache that reads all pages before it answers never answers, and its memory grows."""
    numbers = count()
    link = f"/v2/{REPOSITORY}/tags/list?n=1&last="

    def page(reply: Reply, call: Call) -> Reply:
        last = next(numbers) if how == "new-pages" else 0
        return reply.with_headers({"Link": f'<{link}{last}>; rel="next"'})

    upstream.add_fault(Fault(Match("GET", kind="tags"), (Action("endless pages", alter=page),)))
    cache = target.proxy(upstream)

    answer = cache.get(f"/v2/{REPOSITORY}/tags/list", timeout=scaled(3))

    expect.client("answered", answer.status is not None, True)


@scenario(
    "more-than-the-manifest-says",
    "A blob that is larger than its manifest says is not downloaded to its end",
    refs=("OCI image-spec: Descriptors, size", "CWE-400: Uncontrolled Resource Consumption"),
    needs=OBSERVED,
)
def test_more_than_the_manifest_says(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Otherwise a layer of four kilobytes fills the disk."""
    layer = image.layers[0]
    body = bytes(64 * MIB)
    upstream.on("GET", layer).status(200, {"Content-Type": layer.media_type}, body)
    cache = target.proxy(upstream)
    cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)

    answer = cache.get(blob_path(REPOSITORY, layer))
    settle(cache, upstream)

    sent = sum(entry.sent_bytes for entry in upstream.ledger.select("GET", kind="blob"))
    expect.client("all of it served", len(answer.body) >= len(body), False)
    expect.upstream("all of it downloaded", sent >= len(body), False)
    expect.disk("stored", cache.disk.has_blob(layer.digest), False)


@scenario(
    "drip",
    "A download at a few bytes per second does not hold back a second client",
    refs=("CWE-400: Uncontrolled Resource Consumption", "CWE-410"),
)
def test_drip(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """One connection that drips, by fault or on purpose, would otherwise stop every pull of a layer
    for hours: a timeout for silence never ends it."""
    image = upstream.add(REPOSITORY, an_image(layers=(a_layer("drip", MIB),)), tags=("v1",))
    layer = image.layers[0]
    upstream.on("GET", layer).throttle(500).times(1)
    cache = target.proxy(upstream)
    path = blob_path(REPOSITORY, layer)

    with cache.client.open(path), cache.client.open(path, timeout=scaled(10)) as second:
        deadline = time.monotonic() + scaled(10)
        while not second.complete and second.error is None and time.monotonic() < deadline:
            second.read(1)

    expect.client("complete", second.complete, True)
    expect.client("received", bytes(second.received) == layer.content, True)


def _memory(cache: RunningRegistry, key: str) -> int:
    """Bytes of the process: ``VmRSS`` now, ``VmHWM`` at most so far (proc_pid_status(5))."""
    status = Path(f"/proc/{cache.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024
