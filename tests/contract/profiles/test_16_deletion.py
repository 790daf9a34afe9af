"""Section 16: deletion from a standard registry."""

from __future__ import annotations

from harness.content import an_image
from harness.targets import RunningRegistry
from reference_registry.digest import digest_of
from tests.contract.profiles.bench import (
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    failure,
    manifest_path,
    push,
)
from tests.contract.profiles.table import SAME, row

_LAYER = IMAGE.layers[0]
_ABSENT = digest_of(b"absent")
_UNSUPPORTED = (405, "UNSUPPORTED")
_ROOT = "docker/registry/v2"
_REPO = f"{_ROOT}/repositories/{REPOSITORY}"


def _pushed(bench: Bench, *, enabled: bool) -> RunningRegistry:
    """A registry with an image under two tags, and one under another."""
    registry = bench.standard(delete_enabled=enabled)
    push(registry, IMAGE, "v1", "v2")
    push(registry, an_image("other"), "other")
    return registry


def _tags(registry: RunningRegistry) -> object:
    return registry.get(f"/v2/{REPOSITORY}/tags/list").json()["tags"]


def _digits(digest: str) -> str:
    return digest.partition(":")[2]


# -- where it is disabled -------------------------------------------------------------------------
@row("16.1", [_UNSUPPORTED] * 4)
def test_disabled(bench: Bench) -> object:
    registry = _pushed(bench, enabled=False)
    paths = (
        manifest_path(IMAGE),
        manifest_path(_ABSENT),
        blob_path(_LAYER),
        blob_path(_ABSENT),
    )
    return [failure(registry.delete(path)) for path in paths]


@row(
    "16.2",
    (_UNSUPPORTED, _UNSUPPORTED, {"v1", "v2", "other"}),
    ((202, None), (404, "MANIFEST_UNKNOWN"), {"v2", "other"}),
    SAME,
    (_UNSUPPORTED, _UNSUPPORTED, {"v1", "v2", "other"}),
)
def test_tag_where_it_is_disabled(bench: Bench) -> object:
    """Of a tag, of an unknown one, and what is left."""
    registry = _pushed(bench, enabled=False)
    answers = [registry.delete(manifest_path(tag)) for tag in ("v1", "nothing")]
    return *map(failure, answers), set(registry.disk.tags(REPOSITORY))


# -- where it is enabled --------------------------------------------------------------------------
@row(
    "16.3",
    ((400, "DIGEST_INVALID"), (400, "DIGEST_INVALID"), {"v1", "v2", "other"}),
    ((202, None), (404, "MANIFEST_UNKNOWN"), {"v2", "other"}),
)
def test_tag(bench: Bench) -> object:
    registry = _pushed(bench, enabled=True)
    answers = [registry.delete(manifest_path(tag)) for tag in ("v1", "nothing")]
    directories = (registry.root / _REPO / "_manifests/tags").iterdir()
    return *map(failure, answers), {directory.name for directory in directories}


@row(
    "16.4",
    {
        "answer": (202, b""),
        "link": False,
        "tags": {"other"},
        "bytes": True,
        "layers": True,
        "second time": (404, "MANIFEST_UNKNOWN"),
    },
)
def test_manifest(bench: Bench) -> object:
    registry = _pushed(bench, enabled=True)
    layers = registry.disk.layer_links(REPOSITORY)
    answer = registry.delete(manifest_path(IMAGE))
    return {
        "answer": (answer.status, answer.body),
        "link": IMAGE.digest in registry.disk.revisions(REPOSITORY),
        "tags": set(registry.disk.tags(REPOSITORY)),
        "bytes": registry.disk.has_blob(IMAGE.digest),
        "layers": registry.disk.layer_links(REPOSITORY) == layers,
        "second time": failure(registry.delete(manifest_path(IMAGE))),
    }


@row("16.5", (202, [f"{_REPO}/_layers/sha256/{_digits(_LAYER.digest)}/link"]))
def test_blob(bench: Bench) -> object:
    """The answer, and the files that have gone."""
    registry = _pushed(bench, enabled=True)
    before = set(registry.disk.files())
    answer = registry.delete(blob_path(_LAYER))
    return answer.status, sorted(before - set(registry.disk.files()))


@row("16.6", (200, None), (200, []), SAME, (200, None))
def test_tags_when_all_have_gone(bench: Bench) -> object:
    registry = bench.standard(delete_enabled=True)
    push(registry, IMAGE, "v1")
    registry.delete(manifest_path(IMAGE))
    answer = registry.get(f"/v2/{REPOSITORY}/tags/list")
    return answer.status, _tags(registry)


@row("16.7", [405, 405, 202])
def test_enabled_in_quotes(bench: Bench) -> object:
    """``"true"`` and ``"yes"`` are texts; only ``true`` enables it."""
    answers = []
    for value in ("true", "yes", True):
        registry = bench.standard(extra={"storage": {"delete": {"enabled": value}}})
        push(registry, IMAGE, "v1")
        answers.append(registry.delete(manifest_path(IMAGE)).status)
    return answers
