"""Garbage collection beside clients: content that is pushed, pulled or fetched meanwhile is
kept. The program's own ``garbage-collect`` runs next to the registry, with its online flag if it
has one."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.clients.push import upload_blob
from harness.content import Blob, Manifest, a_layer, an_image
from harness.http.client import RegistryClient
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.system.ports import scaled
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image
from scenarios.steps import OBSERVED, push, settle

DOCS = "distribution docs: Garbage collection"
COLLECTED = OBSERVED | {Need.GC}
scenario = theme("gc", needs=COLLECTED)


@scenario(
    "during-a-push",
    "Collecting between a push's blobs and its manifest removes none of the blobs",
    refs=(DOCS, "kube-image-keeper#482", "measured on 2.8.2 to 3.1.1"),
)
def test_during_a_push(target: TargetUnderTest, expect: Expectations) -> None:
    """A push sends its blobs first, and nothing refers to them until the manifest arrives. Without
    this guarantee the registry has to close every night."""
    registry, image = target.standard(), an_image()
    push(registry, "team/app", an_image("other"), "v1")
    for blob in image.blobs:
        upload_blob(registry.client, "team/app", blob)

    run = registry.garbage_collect(online=True)

    expect.disk("exit code", run.exit_code, 0)
    left = _digests(image) & registry.disk.blobs()
    expect.disk("blobs left of three", len(left), 3)
    _expect_pushed(registry, "team/app", image, expect)


@scenario(
    "during-a-push-of-known-blobs",
    "Blobs that a push skipped because they existed stay until its manifest arrives",
    refs=(
        DOCS,
        "distribution-spec: Checking if content exists in the registry",
        "measured on 2.8.2 to 3.1.1",
    ),
)
@pytest.mark.parametrize("how", ["asked", "mounted", "uploaded"])
def test_during_a_push_of_known_blobs(
    how: str, target: TargetUnderTest, expect: Expectations
) -> None:
    """The blobs of a deleted image are old garbage, and every builder skips what the registry
    reports as existing."""
    registry, image = target.standard(delete_enabled=True), an_image()
    push(registry, "team/app", an_image("other"), "v1")
    push(registry, "team/app", image, "v2")
    registry.delete(manifest_path("team/app", image.digest))
    _yesterday(registry)
    name = "new/app" if how == "mounted" else "team/app"
    reported = []
    for blob in image.blobs:
        match how:
            case "asked":
                reported.append(registry.head(blob_path(name, blob)).status == 200)
            case "mounted":
                query = f"mount={blob.digest}&from=team/app"
                answer = registry.post(f"/v2/{name}/blobs/uploads/?{query}")
                reported.append(answer.status == 201)
            case _:
                upload_blob(registry.client, name, blob)
                reported.append(True)
    expect.client("reported as existing", reported, [True, True, True])

    run = registry.garbage_collect(online=True)

    expect.disk("exit code", run.exit_code, 0)
    left = {blob.digest for blob in image.blobs} & registry.disk.blobs()
    expect.disk("blobs left of three", len(left), 3)
    _expect_pushed(registry, name, image, expect)


@scenario(
    "during-a-pull",
    "A pull that has its manifest gets its blobs, even if the tag moves and garbage is collected",
    refs=(DOCS, "d#2301", "measured on 2.8.2 to 3.1.1"),
)
def test_during_a_pull(target: TargetUnderTest, expect: Expectations) -> None:
    """A large image takes minutes to pull, "latest" moves every hour, and the clean-up job knows
    about neither."""
    registry, image = target.standard(delete_enabled=True), an_image("old")
    push(registry, "team/app", image, "latest")
    _yesterday(registry)
    registry.get(manifest_path("team/app", "latest"), headers=ACCEPT)
    push(registry, "team/app", an_image("new"), "latest")

    run = registry.garbage_collect(delete_untagged=True, online=True)

    expect.disk("exit code", run.exit_code, 0)
    pulled = [registry.get(blob_path("team/app", blob)) for blob in image.blobs]
    expect.client("statuses of its blobs", [answer.status for answer in pulled], [200, 200, 200])


@scenario(
    "during-a-fill",
    "A blob that is being fetched stays whole and cached during a collection",
    refs=(DOCS, "distribution docs: Registry as a pull through cache"),
)
@pytest.mark.parametrize("after", [None, 100_000], ids=["before-the-answer", "half"])
def test_during_a_fill(
    after: int | None, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A blob in flight has no link yet, and in a cache often no manifest either."""
    other = upstream.add("team/app", an_image("other"), tags=("v1",))
    layer = upstream.add("team/app", Blob.of_size(200_000))
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", other, "v1")
    hang = upstream.on("GET", layer).hang(after=after)

    with (
        closing(RegistryClient(cache.url, exchanges=cache.exchanges)) as puller,
        ThreadPoolExecutor(max_workers=1) as pool,
    ):
        pull = pool.submit(puller.get, blob_path("team/app", layer))
        upstream.ledger.wait_for(lambda e: (e.method, e.digest) == ("GET", layer.digest))
        run = cache.garbage_collect(online=True)
        hang.release()
        answer = pull.result(timeout=scaled(10))

    expect.disk("exit code", run.exit_code, 0)
    expect.client("status", answer.status, 200)
    expect.client("its bytes are right", answer.body == layer.content, True)
    expect.disk("cached", cache.eventually(lambda: cache.disk.has_blob(layer.digest)), True)
    settle(cache, upstream)
    bodies = upstream.ledger.count("GET", kind="blob")
    again = pull_blob(cache, "team/app", layer)
    expect.client("its bytes, the second time", again.body == layer.content, True)
    expect.upstream("bodies for it", upstream.ledger.count("GET", kind="blob") - bodies, 0)


@scenario(
    "periodic",
    "Periodic collection removes what has been unused for a while, and nothing else",
    refs=(DOCS, "kube-image-keeper#482"),
    needs=OBSERVED | {Need.X_KEYS},
)
def test_periodic(target: TargetUnderTest, expect: Expectations) -> None:
    """It needs no second job with the same configuration and storage, and no night without
    pushes."""
    collecting = {"x-garbage-collection": {"interval": "1s", "grace": "1h"}}
    registry = target.standard(extra={"storage": {"maintenance": collecting}})
    image, old, new = an_image(), a_layer("old"), a_layer("new")
    upload_blob(registry.client, "team/app", new)  # Its directory is not made old below.
    push(registry, "team/app", image, "v1")
    upload_blob(registry.client, "team/app", old)
    _yesterday(registry)
    upload_blob(registry.client, "team/app", new)
    registry.let_pass(timedelta(seconds=1))

    gone = registry.eventually(lambda: not registry.disk.has_blob(old.digest))

    expect.disk("the old blob is gone", gone, True)
    expect.disk("stored", registry.disk.blobs(), _digests(image) | {new.digest})
    linked = registry.disk.layer_links("team/app")
    expect.disk("linked", linked, {new.digest, *(blob.digest for blob in image.blobs)})


# -- what is set up ----------------------------------------------------------------------------
def _yesterday(registry: RunningRegistry) -> None:
    """Let everything that is stored be a day old."""
    for path in registry.root.rglob("*"):
        stat = path.stat()
        day = timedelta(days=1).total_seconds()
        os.utime(path, (stat.st_atime - day, stat.st_mtime - day))


def _expect_pushed(
    registry: RunningRegistry, name: str, image: Manifest, expect: Expectations
) -> None:
    """The manifest of *image* is taken now, and what it is made of can be pulled."""
    headers = {"Content-Type": image.media_type}
    pushed = registry.put(manifest_path(name, "new"), headers=headers, content=image.content)
    expect.client("status of the manifest", pushed.status, 201)
    pull = containerd_pull(registry.client, name, "new")
    expect.client("pull afterwards", pull.complete, True)


def _digests(manifest: Manifest) -> set[str]:
    """What is stored of *manifest*: itself and its blobs."""
    return {manifest.digest, *(blob.digest for blob in manifest.blobs)}
