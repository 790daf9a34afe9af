"""A registry is stopped by SIGTERM in the middle of its work: it ends in time, keeps its
content, and the next start continues."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Literal

import pytest

from harness.clients.containerd_pull import containerd_pull
from harness.content import Image, an_image
from harness.http.client import Answer, RegistryClient
from harness.suite.expectation import Expectations, at_most
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.system.crashes import KillPoint
from harness.system.ports import scaled
from harness.targets import DidNotStart
from harness.upstream import MockUpstream
from scenarios.pulling import blob_path, pull_blob, pull_image
from scenarios.scheduling import Due, key_of, reopen_with
from scenarios.steps import OBSERVED, push
from scenarios.trees import write_garbage

REPOSITORY = "team/app"
MEASURED = "measured on 2.8.2"
STOPPABLE = OBSERVED | {Need.RESTART, Need.PROCESS}
DRAINING = "distribution docs: Configuring a registry, http, draintimeout"
scenario = theme("stop", needs=STOPPABLE)


@scenario(
    "during-a-push",
    "A stop during a push ends within the drain time, stores no partial blob, and the push can "
    "be repeated",
    refs=(DRAINING, "OCI distribution-spec: Pushing a blob in chunks", MEASURED),
)
def test_during_a_push(target: TargetUnderTest, expect: Expectations) -> None:
    """A registry is updated in the middle of a build's push, and the build retries."""
    image = an_image(layer_size=200_000)
    blob = image.layers[0]
    registry = target.standard(draintimeout="300ms")
    opened = registry.post(f"/v2/{REPOSITORY}/blobs/uploads/", content=b"")
    session = opened.headers["Location"].partition("/v2/")[2]
    sent, stopped = threading.Event(), threading.Event()

    def body() -> Iterator[bytes]:
        yield blob.content[: blob.size // 2]
        sent.set()
        stopped.wait(15)

    def patch() -> Answer:
        with closing(RegistryClient(registry.url)) as client:
            octets = {"Content-Type": "application/octet-stream"}
            return client.patch(f"/v2/{session}", content=body(), headers=octets)

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(patch)
        sent.wait(10)
        began = time.monotonic()
        registry.stop()
        took = time.monotonic() - began
        stopped.set()
        answer = sending.result(timeout=scaled(10))
    expect.client("seconds until it ended", took, at_most(5))
    expect.client("the push seems to be complete", answer.status == 202, False)
    expect.disk("blobs", registry.disk.blobs(), set())

    registry.start()
    push(registry, REPOSITORY, image, "v1")
    pull = containerd_pull(registry.client, REPOSITORY, "v1")
    expect.client("the push is done again", pull.complete, True)


@scenario(
    "during-a-state-write",
    "A stop during a write of the schedule leaves a readable schedule with every entry",
    refs=("d#4594", "d#4805", DRAINING, MEASURED),
    needs=STOPPABLE | {Need.STATE_FILE},
)
def test_during_a_state_write(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Rollouts stop caches at their busiest. A damaged file keeps a release from starting."""
    old, new = image.layers[0], image.config
    cache = target.proxy(upstream, delete_enabled=True, draintimeout="5s")
    pull_blob(cache, REPOSITORY, old)
    reopen_with(cache, Due(REPOSITORY, old, timedelta(days=1)))
    pid = cache.pid
    assert pid is not None
    aside = cache.state_path.with_name(f"{cache.state_path.name}.part")
    stop = KillPoint(pid, [cache.state_path, aside], ["write"], signal="SIGTERM")
    pull_blob(cache, REPOSITORY, new)
    # Releases write every five seconds. What goes by another name meanwhile is stopped after it.
    stop.await_death(timeout=scaled(7))
    cache.stop()
    try:
        cache.start()
    except DidNotStart as failure:
        expect.client("start", f"exit code {failure.exit_code}", "started")
        return
    expect.client("start", "started", "started")
    wanted = {key_of(REPOSITORY, old), key_of(REPOSITORY, new)}
    state = cache.await_state(lambda entries: set(entries) == wanted, timeout=2.0)
    expect.disk("entries", set(state), wanted)


@scenario(
    "during-garbage-collection",
    "A garbage collection stopped by SIGTERM harms nothing in use, and a second run finishes",
    refs=("distribution docs: Garbage collection", MEASURED),
    needs=STOPPABLE | {Need.GC},
)
@pytest.mark.parametrize("during", ["marking", "deleting"])
def test_during_garbage_collection(
    during: Literal["marking", "deleting"], target: TargetUnderTest, expect: Expectations
) -> None:
    """A job with a deadline gets SIGTERM first and SIGKILL later."""
    registry = target.standard(delete_enabled=True)
    in_use = write_garbage(registry.root, REPOSITORY, during)

    registry.kill_garbage_collection(during, gently=True)

    expect.disk("what is in use, when stopped", in_use <= registry.disk.blobs(), True)
    pull = containerd_pull(registry.client, REPOSITORY, "v1")
    run = registry.garbage_collect()
    expect.client("pull, when stopped", pull.complete, True)
    expect.disk("exit code of the next run", run.exit_code, 0)
    expect.disk("what is left in the end", registry.disk.blobs(), in_use)


@scenario(
    "without-expiry",
    "A cache with ttl 0 stops with exit code 0",
    refs=("d#4805", DRAINING, "measured on 2.8.2 to 3.1.1"),
)
def test_without_expiry(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A panic at each stop looks like a crash to monitoring."""
    cache = target.proxy(upstream, ttl="0s", draintimeout="1s")
    pull_image(cache, REPOSITORY, image, "v1")
    cache.stop()
    expect.client("exit code", cache.exit_code, 0)
    expect.disk("panics in the log", "panic:" in cache.logs(), False)
    cache.start()
    upstream.down()
    answer = cache.get(blob_path(REPOSITORY, image.layers[0]))
    expect.client("what was cached", answer.body == image.layers[0].content, True)
