"""Garbage collection: what a dry run promises, what the real run does, and how it treats a
cache. Every scenario runs the program's own ``garbage-collect``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.clients.push import upload_blob
from harness.content import Image, Manifest, a_layer, an_image, an_index
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, Need, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from reference_registry.digest import Digest
from reference_registry.storage import layout
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image, pull_manifest
from scenarios.scheduling import all_of, reopen_with
from scenarios.steps import OBSERVED, asked, push

DOCS = "distribution docs: Garbage collection"
MEASURED = "measured on 2.8.2 to 3.1.1"
COLLECTED = OBSERVED | {Need.GC}
scenario = theme("gc", needs=COLLECTED)


# -- the dry run -------------------------------------------------------------------------------
@scenario("dry-run-changes-nothing", "A dry run changes no file", refs=(DOCS, "d#2190", "d#4703"))
def test_dry_run_changes_nothing(target: TargetUnderTest, expect: Expectations) -> None:
    """Operators run it on production storage, next to the serving registry, before they decide."""
    registry, _, _ = _with_an_orphan(target)
    before = registry.disk.snapshot()

    run = registry.garbage_collect(dry_run=True)

    changes = before.diff(registry.disk.snapshot())
    expect.disk("exit code", run.exit_code, 0)
    expect.disk("added", changes.added, set())
    expect.disk("removed", changes.removed, set())
    expect.disk("changed", changes.changed, set())


@scenario(
    "dry-run-names-what-goes",
    "A dry run names exactly the blobs that the real run deletes",
    refs=(DOCS, "d#4703", "d#2190"),
)
def test_dry_run_names_what_goes(target: TargetUnderTest, expect: Expectations) -> None:
    """A preview with gaps is worse than none."""
    registry, kept, orphan = _with_an_orphan(target)
    stored = registry.disk.blobs()

    preview = registry.garbage_collect(dry_run=True)
    run = registry.garbage_collect()

    gone = stored - registry.disk.blobs()
    expect.disk("exit code", run.exit_code, 0)
    expect.disk(
        "blobs named by the dry run",
        _named(preview.eligible_blobs, orphan),
        ["config", "layer 2", "manifest"],
    )
    expect.disk("blobs deleted", _named(gone, orphan), ["config", "layer 2", "manifest"])
    expect.disk("blobs named by the real run", run.eligible_blobs == preview.eligible_blobs, True)
    expect.client(
        "the kept image", containerd_pull(registry.client, "team/app", "v1").complete, True
    )
    expect.disk("stored afterwards", registry.disk.blobs(), _digests(kept))


@scenario(
    "dry-run-of-untagged",
    "A dry run with --delete-untagged names exactly the manifests and blobs that the real run "
    "deletes",
    refs=(DOCS, "d#2301"),
)
def test_dry_run_of_untagged(target: TargetUnderTest, expect: Expectations) -> None:
    """The flag deletes every manifest without a tag, so it needs a preview most."""
    registry = target.standard(delete_enabled=True)
    old, new = an_image("old"), an_image("new")
    push(registry, "team/app", old, "latest")
    push(registry, "team/app", new, "latest")
    stored = registry.disk.blobs()

    preview = registry.garbage_collect(dry_run=True, delete_untagged=True)
    expect.disk("stored after the dry run", registry.disk.blobs() == stored, True)
    run = registry.garbage_collect(delete_untagged=True)

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("manifests named", preview.eligible_manifests, {old.digest})
    expect.disk("blobs named", preview.eligible_blobs, _digests(old))
    expect.disk("stored afterwards", registry.disk.blobs(), _digests(new))
    expect.disk("revisions afterwards", registry.disk.revisions("team/app"), {new.digest})


@scenario(
    "summary-counts",
    "One line sums up marked blobs and eligible blobs and manifests",
    level=INFO,
    refs=(DOCS, "d#4703"),
)
def test_summary_counts(target: TargetUnderTest, expect: Expectations) -> None:
    """People and scripts look for this line. Manifests count among the blobs too."""
    registry, _, _ = _with_an_orphan(target)

    run = registry.garbage_collect(dry_run=True)

    # Kept: manifest, config, two layers. To go: manifest, config and the layer of its own.
    expect.disk(
        "summary", run.summary, "4 blobs marked, 3 blobs and 0 manifests eligible for deletion"
    )
    expect.disk("digests marked by line", len(run.marked), 4)
    expect.disk("digests eligible by line", len(run.eligible_blobs), 3)
    lines = [line for line in run.stdout.splitlines() if "eligible for deletion: " in line]
    expect.disk("lines that repeat another", len(lines) - len(set(lines)), 0)


# -- what stays --------------------------------------------------------------------------------
@scenario(
    "shared-layer-stays",
    "A layer that an image in any repository uses is kept",
    refs=(DOCS, "d#2367"),
)
def test_shared_layer_stays(target: TargetUnderTest, expect: Expectations) -> None:
    """Bytes are stored once for all repositories."""
    registry = target.standard(delete_enabled=True)
    base = a_layer("base")
    deleted = an_image("deleted", layers=[base, a_layer("own")])
    kept = an_image("kept", layers=[base])
    push(registry, "team/app", deleted, "v1")
    push(registry, "other/app", kept, "v1")
    registry.delete(manifest_path("team/app", deleted.digest))

    run = registry.garbage_collect()

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("stored afterwards", registry.disk.blobs(), _digests(kept))
    pull = containerd_pull(registry.client, "other/app", "v1")
    expect.client("the image that shares the layer", pull.complete, True)


@scenario(
    "untagged-stays-by-default",
    "Without --delete-untagged an image that lost its tag is kept",
    level=INFO,
    refs=(DOCS, "d#2301", "d#4282"),
)
def test_untagged_stays_by_default(target: TargetUnderTest, expect: Expectations) -> None:
    """Deployments pin digests. It is also why a registry whose "latest" moves every hour grows
    although garbage is collected every night."""
    registry = target.standard(delete_enabled=True)
    old, new = an_image("old"), an_image("new")
    push(registry, "team/app", old, "latest")
    push(registry, "team/app", new, "latest")

    run = registry.garbage_collect()

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("eligible", run.eligible_blobs | run.eligible_manifests, set())
    pull = containerd_pull(registry.client, "team/app", old.digest)
    expect.client("the untagged image", pull.complete, True)


@scenario(
    "index-children-stay",
    "--delete-untagged keeps the images of a tagged index",
    refs=("d#3178", DOCS, MEASURED),
)
def test_index_children_stay(target: TargetUnderTest, expect: Expectations) -> None:
    """The images of a multi-architecture index have no tags. Where they count as untagged, the
    index stays and every pull of it fails."""
    registry = target.standard(delete_enabled=True)
    index = an_index()
    push(registry, "team/app", index, "v1")

    preview = registry.garbage_collect(dry_run=True, delete_untagged=True)
    run = registry.garbage_collect(delete_untagged=True)

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("manifests named by the dry run", len(preview.eligible_manifests), 0)
    expect.disk("blobs named by the dry run", len(preview.eligible_blobs), 0)
    children = {child.digest for child in index.manifests}
    left = registry.disk.revisions("team/app") & children
    expect.disk("images left of two", len(left), 2)
    for platform in ("linux/amd64", "linux/arm64"):
        pull = containerd_pull(registry.client, "team/app", "v1", platform=platform)
        expect.client(f"pull for {platform}", pull.complete, True)


@scenario(
    "untagged-here-listed-there",
    "--delete-untagged keeps an image whole in the repository whose tagged index lists it",
    refs=(DOCS, MEASURED),
)
def test_untagged_here_listed_there(target: TargetUnderTest, expect: Expectations) -> None:
    """Images are built in one repository and listed for a release in another. A manifest without
    its layers is the worst of both."""
    registry = target.standard(delete_enabled=True)
    index = an_index()
    image = index.children[0]
    push(registry, "builds/app", an_image("latest build"), "latest")
    push(registry, "builds/app", image)
    push(registry, "release/app", index, "v1")

    run = registry.garbage_collect(delete_untagged=True)

    expect.disk("exit code", run.exit_code, 0)
    pull = containerd_pull(registry.client, "release/app", "v1", platform="linux/amd64")
    expect.client("pull where it is listed", pull.complete, True)
    manifest = registry.get(f"/v2/builds/app/manifests/{image.digest}", headers=ACCEPT)
    layer = registry.head(f"/v2/builds/app/blobs/{image.blobs[-1].digest}")
    broken = manifest.status == 200 and layer.status != 200
    expect.client("a manifest without its layers", broken, False)


@scenario(
    "uploads-stay",
    "An upload in progress is not collected",
    refs=(DOCS, "distribution docs: Configuring a registry, uploadpurging"),
)
def test_uploads_stay(target: TargetUnderTest, expect: Expectations) -> None:
    """A push that has sent nine of ten layers must not start again because of a collection. The
    upload purger removes abandoned uploads."""
    registry = target.standard(delete_enabled=True)
    push(registry, "team/app", an_image(), "v1")
    layer = a_layer("in progress")
    opened = registry.post("/v2/team/app/blobs/uploads/", content=b"")
    sent = registry.patch(
        opened.headers["Location"],
        headers={"Content-Type": "application/octet-stream"},
        content=layer.content,
    )
    uploads = registry.disk.uploads("team/app")

    run = registry.garbage_collect()

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("uploads", registry.disk.uploads("team/app") == uploads != set(), True)
    location = sent.headers["Location"]
    joint = "&" if "?" in location else "?"
    finished = registry.put(f"{location}{joint}digest={layer.digest}", content=b"")
    expect.client("status of the end of the upload", finished.status, 201)


@scenario("repeatable", "A second run finds nothing to do", refs=(DOCS,))
def test_repeatable(target: TargetUnderTest, expect: Expectations) -> None:
    """A timer runs it, so what it reports has to be news."""
    registry, kept, _ = _with_an_orphan(target)
    registry.garbage_collect()
    before = registry.disk.snapshot()

    run = registry.garbage_collect()

    expect.disk("exit code", run.exit_code, 0)
    expect.disk(
        "summary", run.summary, "4 blobs marked, 0 blobs and 0 manifests eligible for deletion"
    )
    expect.disk("files changed", bool(before.diff(registry.disk.snapshot())), False)
    expect.disk("stored", registry.disk.blobs(), _digests(kept))


# -- odd storages ------------------------------------------------------------------------------
@scenario(
    "empty-storage",
    "Collecting empty storage succeeds and does nothing",
    refs=("d#3058", "d#3200", DOCS),
)
def test_empty_storage(target: TargetUnderTest, expect: Expectations) -> None:
    """A nightly job for a cache installed today should not raise an alarm."""
    registry = target.standard()

    run = registry.garbage_collect()

    expect.disk("exit code", run.exit_code, 0)
    expect.disk(
        "summary", run.summary, "0 blobs marked, 0 blobs and 0 manifests eligible for deletion"
    )
    expect.disk("files", registry.disk.files(), [])


@scenario(
    "never-tagged-repository",
    "--delete-untagged empties a repository that never had a tag",
    refs=("kube-image-keeper#128", DOCS, MEASURED),
)
def test_never_tagged_repository(target: TargetUnderTest, expect: Expectations) -> None:
    """Deployments by digest fill repositories without tags, and so does a cache behind containerd.
    One of them must not stop the collection of all others."""
    registry = target.standard(delete_enabled=True)
    tagged, untagged = an_image("tagged"), an_image("untagged")
    push(registry, "team/app", tagged, "v1")
    push(registry, "team/digests", untagged)

    run = registry.garbage_collect(delete_untagged=True)

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("manifests named", len(run.eligible_manifests), 1)
    linked = len(registry.disk.revisions("team/digests"))
    expect.disk("manifests still linked", linked, 0)
    expect.disk("blobs left", len(registry.disk.blobs()), len(_digests(tagged)))
    pull = containerd_pull(registry.client, "team/app", "v1")
    expect.client("the tagged image", pull.complete, True)


@scenario(
    "manifest-without-bytes",
    "A manifest whose bytes are missing does not stop the run, and other images stay whole",
    refs=("d#1640", MEASURED),
)
def test_manifest_without_bytes(target: TargetUnderTest, expect: Expectations) -> None:
    """Storage gets damaged. A collection finds out, and must not make it worse."""
    registry = target.standard(delete_enabled=True)
    damaged, whole = an_image("damaged"), an_image("whole")
    push(registry, "team/app", damaged, "v1")
    push(registry, "team/app", whole, "v2")
    registry.disk.blob_path(damaged.digest).unlink()

    run = registry.garbage_collect()

    expect.disk("exit code", run.exit_code, 0)
    pull = containerd_pull(registry.client, "team/app", "v2")
    expect.client("the image that is whole", pull.complete, True)


# -- caches ------------------------------------------------------------------------------------
@scenario(
    "cached-images-stay",
    "Collecting in a cache keeps every cached image and sends nothing upstream",
    refs=(DOCS, "distribution docs: Registry as a pull through cache"),
    needs=COLLECTED | {Need.STATE_FILE},
)
def test_cached_images_stay(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Garbage collection concerns the local disk. It works during an upstream outage, when the
    cache is all there is, and leaves the schedule alone."""
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    cache.stop()
    stored, schedule = cache.disk.blobs(), _content(cache)
    upstream.ledger.clear()

    while_up = cache.garbage_collect()
    upstream.down()
    while_down = cache.garbage_collect()
    upstream.up()

    expect.disk("exit code", while_up.exit_code, 0)
    expect.disk("exit code with upstream down", while_down.exit_code, 0)
    expect.disk("stored blobs unchanged", cache.disk.blobs() == stored, True)
    expect.disk("schedule unchanged", _content(cache) == schedule, True)
    expect.upstream("requests", upstream.ledger.lines(), [])
    cache.start()
    upstream.down()
    pull = containerd_pull(cache.client, "team/app", image.digest)
    expect.client("pull afterwards, upstream down", pull.complete, True)


@scenario(
    "manifest-only-repository",
    "A cached manifest whose blobs were never pulled is kept",
    refs=("distribution-library-image#172", MEASURED),
)
def test_manifest_only_repository(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Tools that read manifests only, such as update checkers and admission controllers, leave such
    repositories in a cache. They must neither be damaged nor stop the run."""
    other = upstream.add("other/app", an_image("other"), tags=("v1",))
    cache = target.proxy(upstream)
    pull_manifest(cache, "team/app", image, "v1")
    pull_image(cache, "other/app", other, "v1")

    preview = cache.garbage_collect(dry_run=True)
    run = cache.garbage_collect()

    expect.disk("exit code of the dry run", preview.exit_code, 0)
    expect.disk("exit code", run.exit_code, 0)
    expect.disk("blobs named by the dry run", len(preview.eligible_blobs), 0)
    expect.disk("manifest bytes", cache.disk.has_blob(image.digest), True)
    upstream.down()
    answer = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    expect.client("status of the manifest, upstream down", answer.status, 200)


@scenario(
    "blob-without-manifest",
    "A cached blob without a cached manifest is swept, and the next pull fetches it again",
    level=INFO,
    refs=(DOCS, "d#3722", MEASURED),
)
def test_blob_without_manifest(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A manifest may expire before its layers, and clients may know it from elsewhere. The sweep
    then costs one more download and nothing else."""
    layer = image.layers[0]
    cache = target.proxy(upstream)
    pull_blob(cache, "team/app", layer)
    upstream.ledger.clear()

    run = cache.garbage_collect()
    expect.disk("exit code", run.exit_code, 0)
    expect.disk("blobs named", run.eligible_blobs, {layer.digest})
    expect.disk("bytes", cache.disk.has_blob(layer.digest), False)
    expect.upstream("requests of the run", asked(upstream), [])

    answer = cache.get(blob_path("team/app", layer))
    expect.client("status of the next pull", answer.status, 200)
    expect.client("bytes are right", answer.body == layer.content, True)
    cache.eventually(lambda: cache.disk.has_blob(layer.digest))
    expect.disk("bytes after the next pull", cache.disk.has_blob(layer.digest), True)


@scenario(
    "layer-links-go-too",
    "The layer links of a swept blob are removed",
    refs=(MEASURED, "d#3722"),
)
def test_layer_links_go_too(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A link without bytes is a broken promise to clients, and one more small file that stays
    forever."""
    layer = upstream.add("team/app", an_image("other")).layers[0]
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    pull_blob(cache, "team/app", layer)

    run = cache.garbage_collect()

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("bytes", cache.disk.has_blob(layer.digest), False)
    linked = cache.disk.layer_links("team/app")
    expect.disk("link to the swept blob", layer.digest in linked, False)
    expect.disk("links to the others", linked - {layer.digest}, {b.digest for b in image.blobs})


@scenario(
    "expired-manifest",
    "After a collection nothing of an expired manifest is left",
    refs=(MEASURED, "d#4249"),
    needs=COLLECTED | {Need.RESTART, Need.STATE_FILE},
)
def test_expired_manifest(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Some caches leave the bytes of an expired manifest to garbage collection."""
    other = upstream.add("team/app", an_image("other"), tags=("v2",))
    cache = target.proxy(upstream, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")
    pull_image(cache, "team/app", other, "v2")
    reopen_with(cache, *all_of("team/app", image))
    cache.eventually(lambda: image.digest not in cache.disk.revisions("team/app"))
    cache.eventually(lambda: not any(map(cache.disk.has_blob, _digests(image) - {image.digest})))
    upstream.ledger.clear()

    run = cache.garbage_collect()

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("stored", cache.disk.blobs(), _digests(other))
    expect.disk("tags", set(cache.disk.tags("team/app")), {"v2"})
    expect.upstream("requests", asked(upstream), [])
    pull = containerd_pull(cache.client, "team/app", other.digest)
    expect.client("the image that did not expire", pull.complete, True)


@scenario(
    "untagged-in-a-cache",
    "--delete-untagged in a cache keeps tagged images whole",
    refs=(MEASURED, "d#3178"),
)
def test_untagged_in_a_cache(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients ask a cache for the index by tag and for their image by digest, so nearly all images
    of a cache are untagged. Upstream is down here, because only then the difference hurts."""
    index = upstream.add("team/app", an_index(), tags=("v1",))
    image = index.manifests[0]
    cache = target.proxy(upstream)
    containerd_pull(cache.client, "team/app", "v1")
    wanted = {blob.digest for blob in image.blobs}
    cache.eventually(lambda: wanted <= cache.disk.layer_links("team/app"))

    run = cache.garbage_collect(delete_untagged=True)
    upstream.down()

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("manifests named", len(run.eligible_manifests), 0)
    linked = image.digest in cache.disk.revisions("team/app")
    expect.disk("image still linked", linked, True)
    pull = containerd_pull(cache.client, "team/app", "v1")
    expect.client("pull, upstream down", pull.complete, True)


@scenario(
    "under-a-descriptor-cache",
    "A blob swept under a running cache is fetched again, not served empty",
    refs=("d#1356", "d#2367", "d#4872"),
)
def test_under_a_descriptor_cache(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The documentation says to stop the registry first; people forget. A running cache that
    remembers the swept blob has to check the disk before it answers 200."""
    layer = upstream.add("team/app", an_image()).layers[0]
    cache = target.proxy(upstream, cache="inmemory")
    pull_blob(cache, "team/app", layer)
    cache.get(blob_path("team/app", layer))

    cache.garbage_collect()
    expect.disk("bytes after the run", cache.disk.has_blob(layer.digest), False)
    answer = cache.get(blob_path("team/app", layer))

    expect.client("status", answer.status, any_of(200, 404))
    expect.client("Content-Length", answer.headers.get("Content-Length"), str(layer.size))
    expect.client("bytes received", len(answer.body), layer.size)


# -- damage ------------------------------------------------------------------------------------
@scenario(
    "broken-links",
    "An empty link costs no image its bytes, and does not stop the run",
    refs=(MEASURED,),
)
@pytest.mark.parametrize("which", ["manifest", "tag"])
def test_broken_links(which: str, target: TargetUnderTest, expect: Expectations) -> None:
    """A power cut leaves empty links, and their path still says what they pointed to. Deleted bytes
    cannot be repaired, and a run that fails as a whole lets the disk fill up."""
    registry, image = target.standard(), an_image()
    push(registry, "team/app", image, "v1")
    orphan = a_layer("orphan")
    upload_blob(registry.client, "team/app", orphan)
    links = {
        "manifest": layout.revision_link("team/app", Digest(image.digest)),
        "tag": layout.tag_current_link("team/app", "v1"),
    }
    (registry.root / links[which].lstrip("/")).write_bytes(b"")

    run = registry.garbage_collect(delete_untagged=True)

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("bytes of the image", _digests(image) <= registry.disk.blobs(), True)
    expect.disk("the orphan is gone", registry.disk.has_blob(orphan.digest), False)


# -- what is set up ----------------------------------------------------------------------------
def _with_an_orphan(target: TargetUnderTest) -> tuple[RunningRegistry, Manifest, Manifest]:
    """A standard registry with two images that share a layer, one of them deleted: the registry,
    the kept image, and the deleted one, of which manifest, config and one layer are garbage."""
    registry = target.standard(delete_enabled=True)
    base = a_layer("base")
    kept = an_image("kept", layers=[base, a_layer("kept")])
    orphan = an_image("orphan", layers=[base, a_layer("orphan")])
    push(registry, "team/app", kept, "v1")
    push(registry, "team/app", orphan, "v2")
    answer = registry.delete(manifest_path("team/app", orphan.digest))
    assert answer.status == 202, f"DELETE of a manifest was answered {answer.status}"
    return registry, kept, orphan


def _digests(manifest: Manifest) -> set[str]:
    """What is stored of *manifest*: itself and its blobs."""
    return {manifest.digest, *(blob.digest for blob in manifest.blobs)}


def _named(digests: Iterable[str], manifest: Manifest) -> list[str]:
    """*digests* by what they are of *manifest*."""
    names: dict[str, str] = {manifest.digest: "manifest"}
    config, *layers = manifest.blobs
    names[config.digest] = "config"
    names |= {layer.digest: f"layer {n}" for n, layer in enumerate(layers, 1)}
    return sorted(names.get(digest, digest) for digest in digests)


def _content(registry: RunningRegistry) -> str | None:
    """The schedule as it lies on the disk."""
    path = registry.state_path
    return path.read_text() if path.exists() else None


# -- further guarantees ------------------------------------------------------------------------
@scenario(
    "nested-index",
    "The images of an index inside an index are kept",
    refs=(DOCS, "OCI image-spec: Image Index", MEASURED),
)
def test_nested_index(target: TargetUnderTest, expect: Expectations) -> None:
    """Multi-architecture releases list indexes in indexes; a collector that stops at the first
    level deletes every layer below the second."""
    leaf = an_image("leaf", layers=1)
    inner = an_index(leaf)
    outer = an_index(inner)
    registry = target.standard()
    push(registry, "team/app", outer, "v1")

    run = registry.garbage_collect()

    expect.disk("exit code", run.exit_code, 0)
    kept = _digests(outer) | _digests(inner) | _digests(leaf)
    expect.disk("stored afterwards", registry.disk.blobs(), kept)


@scenario(
    "schedule-stays",
    "Collecting in a cache does not change scheduler-state.json",
    level=INFO,
    refs=(DOCS, MEASURED),
    needs=COLLECTED | {Need.STATE_FILE, Need.RESTART},
)
def test_schedule_stays(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Expiry dates survive a collection: content pulled again keeps no old date by accident."""
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    entries = all_of("team/app", image, timedelta(hours=1))
    reopen_with(cache, *entries)
    before = cache.state_path.read_bytes()

    run = cache.garbage_collect()

    expect.disk("exit code", run.exit_code, 0)
    expect.disk("the file is unchanged", cache.state_path.read_bytes() == before, True)
