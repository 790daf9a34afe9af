"""Section 11: ``garbage-collect``."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from harness.content import Blob, Content, an_image, an_index
from harness.system.process import clean_environment
from harness.targets import GcRun, RunningRegistry
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    manifest_path,
    names_of,
    pull_blob,
    pull_manifest,
    push,
    push_blob,
)
from tests.contract.profiles.processes import command
from tests.contract.profiles.schedule import Due, reopen
from tests.contract.profiles.table import SAME, like, row

_LAYER, _LAYER_2, _CONFIG = *IMAGE.layers, IMAGE.config
_ORPHAN = Blob(b"nobody names this")
_OTHER = "other/app"
_LATER = timedelta(hours=1)
_NAMES: dict[str, Content] = {
    "manifest": IMAGE,
    "config": _CONFIG,
    "layer 1": _LAYER,
    "layer 2": _LAYER_2,
    "orphan": _ORPHAN,
}


def _lines(run: GcRun, **more: Content) -> list[str]:
    """Standard output with digests by name."""
    text = run.stdout
    for name, content in {**_NAMES, **more}.items():
        text = text.replace(content.digest, f"<{name}>")
    return text.split("\n")


def _with_orphan(bench: Bench) -> RunningRegistry:
    """A registry with a tagged image, and a blob that nothing refers to."""
    registry = bench.standard(delete_enabled=True)
    push(registry, IMAGE, "v1")
    push_blob(registry, _ORPHAN)
    return registry


_MARKED = [
    "team/app",
    "team/app: marking manifest <manifest> ",
    "team/app: marking blob <config>",
    "team/app: marking blob <layer 1>",
    "team/app: marking blob <layer 2>",
]
_ELIGIBLE = [
    "",
    "4 blobs marked, 1 blobs and 0 manifests eligible for deletion",
    "blob eligible for deletion: <orphan>",
]
_LINK = "team/app: layer link eligible for deletion: <orphan>"


# -- what is printed ------------------------------------------------------------------------------
@row(
    "11.1",
    (0, [*_MARKED, *_ELIGIBLE, ""]),
    SAME,
    (0, [*_MARKED, *_ELIGIBLE, _LINK, ""]),
)
def test_lines(bench: Bench) -> object:
    run = _with_orphan(bench).garbage_collect()
    return run.exit_code, _lines(run)


@row("11.1", 2, SAME, 1)
def test_lines_for_a_blob_of_two_repositories(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    push(registry, IMAGE, "v1", repository=_OTHER)
    lines = _lines(registry.garbage_collect())
    return sum(line.endswith("marking blob <config>") for line in lines)


@row("11.1", ["inner", "leaf", "outer"])
def test_index_in_an_index_is_followed(bench: Bench) -> object:
    leaf = an_image("leaf", layers=1)
    inner = an_index(leaf)
    outer = an_index(inner)
    registry = bench.standard()
    push(registry, outer, "v1")
    marked = registry.garbage_collect().marked
    named = {"leaf": leaf, "inner": inner, "outer": outer}
    return sorted(name for name, manifest in named.items() if manifest.digest in marked)


@row(
    "11.2",
    (1, "manifest eligible for deletion: <old>"),
    SAME,
    (4, "manifest eligible for deletion: {team/app <old> [v1]}"),
)
def test_line_of_an_untagged_manifest(bench: Bench) -> object:
    """How many lines of other kinds stand before it, and the line."""
    old = an_image("old", layers=1)
    registry = bench.standard()
    push(registry, old, "v1")
    push(registry, an_image("new", layers=1), "v1")
    lines = _lines(registry.garbage_collect(dry_run=True, delete_untagged=True), old=old)
    place = next(i for i, line in enumerate(lines) if line.startswith("manifest eligible"))
    return place, lines[place]


@row("11.3", (0, True, True, True))
def test_dry_run(bench: Bench) -> object:
    """Exit code; whether nothing changed, the orphan is named, and the real run says the same."""
    registry = _with_orphan(bench)
    before = registry.disk.snapshot()
    preview = registry.garbage_collect(dry_run=True)
    same = before == registry.disk.snapshot()
    named = preview.eligible_blobs == {_ORPHAN.digest}
    run = registry.garbage_collect()
    return preview.exit_code, same, named, sorted(_lines(run)) == sorted(_lines(preview))


@row("11.4", [True, True, True, False], SAME, [True, True, True, True])
def test_log(bench: Bench) -> object:
    old = an_image("old", layers=1)
    registry = bench.standard()
    push(registry, old, "v1")
    push(registry, an_image("new", layers=1), "v1")
    log = registry.garbage_collect(delete_untagged=True).stderr.lower()
    return [
        text in log
        for text in (
            "deleting blob: ",
            "deleting manifest: ",
            "deleting manifest tag reference: ",
            "deleting layer link path: ",
        )
    ]


# -- what goes ------------------------------------------------------------------------------------
@row("11.5", ["config", "layer 1", "layer 2", "orphan"], SAME, ["config", "layer 1", "layer 2"])
def test_layer_links(bench: Bench) -> object:
    registry = _with_orphan(bench)
    registry.garbage_collect()
    assert not registry.disk.has_blob(_ORPHAN.digest)
    return names_of(registry.disk.layer_links(REPOSITORY), **_NAMES)


@row("11.6", (0, 200, 404, False), SAME, (0, 200, 200, True))
def test_child_of_a_tagged_index(bench: Bench) -> object:
    """Exit code; the answers for index and child; whether the child's layer is there."""
    registry = bench.standard()
    index = an_index(IMAGE)
    push(registry, index, "v1")
    run = registry.garbage_collect(delete_untagged=True)
    answers = [registry.get(manifest_path(m), headers=ANY).status for m in (index, IMAGE)]
    return run.exit_code, *answers, registry.disk.has_blob(_LAYER.digest)


@row("11.6", 200)
def test_cache_heals_a_child_that_was_collected(bench: Bench) -> object:
    index = bench.upstream.add(REPOSITORY, an_index(IMAGE), tags=("many",))
    cache = bench.proxy()
    pull_manifest(cache, index, "many")
    pull_manifest(cache, IMAGE)
    pull_blob(cache, _LAYER)
    cache.garbage_collect(delete_untagged=True)
    return cache.get(manifest_path(IMAGE), headers=ANY).status


@row(
    "11.7",
    {"manifest": (404, 404), "layer": (404, 404)},
    SAME,
    {"manifest": (200, 200), "layer": (404, 200)},
)
def test_untagged_here_and_child_there(bench: Bench) -> object:
    """In the repository where it is untagged, and in the one where an index names it."""
    registry = bench.standard()
    push(registry, an_image("tagged"), "v1")
    push(registry, IMAGE)
    push(registry, an_index(IMAGE), "v1", repository="zebra/app")
    registry.garbage_collect(delete_untagged=True)
    repositories = (REPOSITORY, "zebra/app")
    return {
        "manifest": tuple(
            registry.get(manifest_path(IMAGE, name), headers=ANY).status for name in repositories
        ),
        "layer": tuple(registry.get(blob_path(_LAYER, name)).status for name in repositories),
    }


_NO_LAYERS = like(
    r"failed to garbage collect: failed to mark: filesystem: Path not found: .*/_layers\n?"
)


@row("11.8", (0, False, True, ""), (0, True, True, ""), (1, True, True, _NO_LAYERS))
@pytest.mark.parametrize("dry_run", [False, True])
def test_manifest_alone(bench: Bench, dry_run: bool) -> object:
    """Exit code; whether bytes and link are there; what went wrong."""
    cache = bench.proxy()
    pull_manifest(cache, IMAGE, "v1")
    run = cache.garbage_collect(dry_run=dry_run)
    kept = cache.disk.has_blob(IMAGE.digest)
    if dry_run:
        kept = kept and IMAGE.digest not in run.eligible_blobs
    linked = IMAGE.digest in cache.disk.revisions(REPOSITORY)
    return run.exit_code, kept, linked, run.stderr if run.exit_code else ""


_NO_TAGS = (
    "failed to garbage collect: failed to mark: filesystem: "
    f"filesystem: failed to retrieve tags unknown repository name={REPOSITORY}"
)


@row(
    "11.9",
    (1, _NO_TAGS, ["config", "layer 1", "layer 2", "manifest"]),
    SAME,
    (0, f"manifest tags path of repository {REPOSITORY} does not exist", []),
)
def test_never_tagged(bench: Bench) -> object:
    """Exit code; the line that tells of it; the bytes that are left."""
    registry = bench.standard()
    push(registry, IMAGE)
    run = registry.garbage_collect(delete_untagged=True)
    said = run.stdout.splitlines() + run.stderr.splitlines()
    told = next((line for line in said if "tags" in line), None)
    return run.exit_code, told, names_of(registry.disk.blobs(), **_NAMES)


@row("11.10", (False, 200, True))
def test_cached_blob_without_a_manifest(bench: Bench) -> object:
    cache = bench.proxy()
    pull_manifest(cache, IMAGE)
    pull_blob(cache, _CONFIG)
    bench.upstream.add(REPOSITORY, _ORPHAN)
    pull_blob(cache, _ORPHAN)
    cache.garbage_collect()
    swept = cache.disk.has_blob(_ORPHAN.digest)
    answer = cache.get(blob_path(_ORPHAN))
    return swept, answer.status, answer.body == _ORPHAN.content


# -- what it leaves alone -------------------------------------------------------------------------
@row("11.11", (False, True))
def test_schedule(bench: Bench) -> object:
    cache = bench.proxy()
    pull_manifest(cache, IMAGE, "v1")
    pull_blob(cache, _CONFIG)
    bench.upstream.add(REPOSITORY, _ORPHAN)
    pull_blob(cache, _ORPHAN)
    reopen(cache, Due(_ORPHAN, _LATER))
    before = cache.state_path.read_bytes()
    cache.garbage_collect()
    return cache.disk.has_blob(_ORPHAN.digest), cache.state_path.read_bytes() == before


@row("11.12", True)
def test_uploads(bench: Bench) -> object:
    registry = _with_orphan(bench)
    registry.post(f"/v2/{REPOSITORY}/blobs/uploads/")
    before = sorted(path for path in registry.disk.files() if "_uploads" in path)
    registry.garbage_collect()
    after = sorted(path for path in registry.disk.files() if "_uploads" in path)
    return bool(before) and before == after


@row("11.13", (0, []))
def test_upstream_is_not_asked(bench: Bench) -> object:
    cache = bench.proxy()
    pull_manifest(cache, IMAGE, "v1")
    pull_blob(cache, _CONFIG)
    bench.settle(cache)
    bench.forget()
    bench.upstream.down()
    return cache.garbage_collect().exit_code, bench.asked(pings=True)


@row("11.19", (0, ["config", "layer 1", "layer 2"]))
def test_manifest_without_bytes(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    registry.disk.blob_path(IMAGE.digest).unlink()
    run = registry.garbage_collect(dry_run=True)
    return run.exit_code, names_of(run.eligible_blobs, **_NAMES)


@row("11.20", {"HEAD": 200, "GET": (200, str(_ORPHAN.size), b""), "after a restart": 404})
def test_while_a_descriptor_cache_remembers(bench: Bench) -> object:
    registry = bench.standard(cache="inmemory")
    push(registry, IMAGE, "v1")
    push_blob(registry, _ORPHAN)
    registry.get(blob_path(_ORPHAN))
    registry.garbage_collect()
    head, answer = registry.head(blob_path(_ORPHAN)), registry.get(blob_path(_ORPHAN))
    registry.restart()
    return {
        "HEAD": head.status,
        "GET": (answer.status, answer.headers.get("Content-Length"), answer.body),
        "after a restart": registry.get(blob_path(_ORPHAN)).status,
    }


# -- what it refuses ------------------------------------------------------------------------------
_NO_REPOSITORIES = (
    "failed to garbage collect: failed to mark: filesystem: "
    "Path not found: /docker/registry/v2/repositories"
)


@row("11.14", (1, _NO_REPOSITORIES, False))
def test_missing_storage(bench: Bench) -> object:
    registry = bench.standard()
    registry.stop()
    shutil.rmtree(registry.root, ignore_errors=True)
    run = registry.garbage_collect()
    return run.exit_code, run.stderr, registry.root.exists()


@row("11.14", (1, _NO_REPOSITORIES.replace("filesystem", "inmemory", 1)))
def test_memory(bench: Bench) -> object:
    registry = bench.standard(extra={"storage": {"filesystem": None, "inmemory": {}}})
    run = registry.garbage_collect()
    return run.exit_code, run.stderr


@row("11.15", (1, like(r"failed to garbage collect: error enumerating blobs: .*/v2/blobs")))
def test_storage_without_blobs(bench: Bench) -> object:
    registry = bench.standard()
    registry.stop()
    (registry.root / "docker/registry/v2/repositories").mkdir(parents=True)
    run = registry.garbage_collect()
    return run.exit_code, run.stderr


# -- the command line -----------------------------------------------------------------------------
def _run(bench: Bench, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command(bench), "garbage-collect", *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@row("11.16", [1, 1])
def test_no_configuration(bench: Bench) -> object:
    runs = [_run(bench), _run(bench, bench.workdir / "absent.yml")]
    assert "configuration path unspecified" in runs[0].stderr
    assert "no such file" in runs[1].stderr.lower()
    return [run.returncode for run in runs]


@row("11.17", 0)
def test_unknown_flag(bench: Bench) -> object:
    run = _run(bench, "--everything", "config.yml")
    assert "--everything" in run.stderr
    return run.returncode


@row("11.18", True, SAME, False)
@pytest.mark.parametrize("flag", ["--quiet", "-q"])
def test_quiet(bench: Bench, flag: str) -> object:
    """Whether the blob is still there, since an unknown flag ends the run."""
    registry = _with_orphan(bench)
    run = _run(bench, flag, registry.config_path)
    assert (run.returncode, run.stdout) == (0, "")
    return registry.disk.has_blob(_ORPHAN.digest)
