"""One release with what its rows need: an upstream, registries, short words for what is seen."""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.clients.containerd_pull import ACCEPT
from harness.content import Blob, Content, Manifest, an_image
from harness.http.client import Answer
from harness.suite.lab import Lab, TargetUnderTest
from harness.targets import DidNotStart, RunningRegistry, Target
from harness.targets.reference import ReferenceRegistry
from harness.upstream import MockUpstream
from reference_registry.config.file import read
from reference_registry.profiles import profile_named

__all__ = [
    "ANY",
    "IMAGE",
    "REPOSITORY",
    "Bench",
    "blob_path",
    "chosen",
    "detail",
    "failure",
    "manifest_path",
    "names_of",
    "pull_blob",
    "pull_manifest",
    "push",
    "push_blob",
    "put_manifest",
    "starts",
    "tree",
    "warned_of",
]

REPOSITORY = "team/app"
ANY = ACCEPT
"""Headers of a client that takes every kind of manifest."""

IMAGE = an_image()
"""An OCI image."""

_ROOT = "docker/registry/v2/"
_QUIET = 0.15
"""Seconds without a change after which a registry in another process is at rest."""


class Bench:
    """The ``bench`` fixture."""

    def __init__(self, release: str, target: Target, lab: Lab, workdir: Path) -> None:
        self.release = release
        """The column of the table."""
        self.target = target
        self.lab = lab
        self.workdir = workdir
        self.image = IMAGE

    # -- what stands on it ----------------------------------------------------------------------
    @cached_property
    def upstream(self) -> MockUpstream:
        """An anonymous upstream with :attr:`image` as ``team/app:v1``."""
        upstream = self.lab.upstream()
        upstream.add(REPOSITORY, self.image, tags=("v1",))
        return upstream

    def proxy(self, upstream: MockUpstream | None = None, **settings: Any) -> RunningRegistry:
        """A cache of *upstream*; *settings* are those of ``harness.targets.Settings``."""
        under_test = TargetUnderTest(self.target, self.lab)
        return under_test.proxy(upstream or self.upstream, **settings)

    def standard(self, **settings: Any) -> RunningRegistry:
        """A registry without upstream."""
        return TargetUnderTest(self.target, self.lab).standard(**settings)

    # -- what was asked -------------------------------------------------------------------------
    def asked(self, *, pings: bool = False) -> list[str]:
        """What the upstream was asked since the last :meth:`forget`, such as ``HEAD tag``,
        ``GET digest``, ``GET blob``; without the pings of ``/v2/`` unless they are wanted."""
        return [
            f"{entry.method} {_kind(entry.kind, entry.tag)}"
            + (f"?{entry.query}" if entry.query else "")
            for entry in self.upstream.ledger.entries
            if pings or entry.kind not in {"base", "token"}
        ]

    def forget(self) -> None:
        """Forget what the upstream was asked."""
        self.upstream.ledger.clear()

    # -- what was kept --------------------------------------------------------------------------
    def settle(self, registry: RunningRegistry) -> None:
        """Wait until nothing is asked upstream and nothing changes on disk any more."""
        calm_since, seen = time.monotonic(), None

        def calm() -> bool:
            nonlocal calm_since, seen
            self.upstream.ledger.wait_idle()
            now = (registry.disk.files(), len(self.upstream.ledger.entries))
            if now != seen:
                calm_since, seen = time.monotonic(), now
            return time.monotonic() - calm_since > _QUIET

        assert registry.eventually(calm), "the registry did not come to rest"


def _kind(kind: str, tag: str | None) -> str:
    if kind == "manifest":
        return "digest" if tag is None else "tag"
    return kind


# -- paths --------------------------------------------------------------------------------------
def manifest_path(reference: str | Manifest, repository: str = REPOSITORY) -> str:
    """Of a tag, a digest, or a manifest by its digest."""
    name = reference.digest if isinstance(reference, Manifest) else reference
    return f"/v2/{repository}/manifests/{name}"


def blob_path(blob: str | Blob, repository: str = REPOSITORY) -> str:
    """Of a blob, or a digest."""
    return f"/v2/{repository}/blobs/{blob if isinstance(blob, str) else blob.digest}"


# -- pulling ------------------------------------------------------------------------------------
def pull_manifest(
    cache: RunningRegistry, manifest: Manifest, tag: str | None = None, repository: str = REPOSITORY
) -> Answer:
    """GET, and wait until what came is kept."""
    answer = cache.get(manifest_path(tag or manifest, repository), headers=ANY)
    assert answer.status == 200, answer
    assert cache.eventually(lambda: manifest.digest in cache.disk.revisions(repository))
    return answer


def pull_blob(cache: RunningRegistry, blob: Blob, repository: str = REPOSITORY) -> Answer:
    """GET, and wait until what came is kept: 2.8 stores it after it has answered."""
    answer = cache.get(blob_path(blob, repository))
    assert answer.status == 200, answer
    assert cache.eventually(lambda: blob.digest in cache.disk.layer_links(repository))
    cache.eventually(lambda: not cache.disk.uploads(repository), 2.0)
    return answer


# -- looking ------------------------------------------------------------------------------------
def detail(answer: Answer) -> Any:
    """``errors[0].detail``, None where the body has none."""
    try:
        return answer.json()["errors"][0].get("detail")
    except (ValueError, LookupError):
        return None


def failure(answer: Answer) -> tuple[int | None, str | None]:
    """Status and error code."""
    return answer.status, answer.error_code


def chosen(answer: Answer, *names: str) -> dict[str, str | None]:
    """The headers called *names*."""
    return {name: answer.headers.get(name) for name in names}


def tree(registry: RunningRegistry, repository: str = REPOSITORY, **known: Content) -> list[str]:
    """The files of *registry* below its two directories, sorted; digests by the names that *known*
    gives them, the repository as ``<repo>``."""
    names = {content.digest.partition(":")[2]: name for name, content in known.items()}
    return sorted(_shown(path, repository, names) for path in registry.disk.files())


def _shown(path: str, repository: str, names: dict[str, str]) -> str:
    path = path.removeprefix(_ROOT).replace(f"repositories/{repository}/", "<repo>/")
    for digits, name in names.items():
        path = path.replace(f"/{digits[:2]}/{digits}", f"/{digits}").replace(digits, f"<{name}>")
    return path


def names_of(digests: Collection[str], **known: Content) -> list[str]:
    """*digests* by the names that *known* gives them, sorted; unknown ones as they are."""
    names = {str(content.digest): name for name, content in known.items()}
    return sorted(names.get(digest, digest) for digest in digests)


# -- starting -------------------------------------------------------------------------------------
def starts(bench: Bench, *, upstream: bool = False, **settings: Any) -> str | int | None:
    """``"starts"``, or the exit code where it does not."""
    try:
        registry = bench.proxy(**settings) if upstream else bench.standard(**settings)
    except DidNotStart as refused:
        return refused.exit_code
    registry.stop()
    return "starts"


def warned_of(bench: Bench, registry: RunningRegistry, word: str) -> bool:
    """Whether a warning at start has *word*."""
    said = [line for line in registry.logs().splitlines() if "level=warning" in line]
    if isinstance(registry, ReferenceRegistry):
        # Its command line logs what reading the configuration found.
        profile = profile_named(bench.release)
        found = read(registry.config_path, registry.settings.environment, profile)
        said += map(str, found.warnings)
    return any(word in line for line in said)


# -- pushing --------------------------------------------------------------------------------------
def push_blob(registry: RunningRegistry, blob: Blob, repository: str = REPOSITORY) -> Answer:
    """POST and PUT; the answer to the latter."""
    opened = registry.post(f"/v2/{repository}/blobs/uploads/")
    assert opened.status == 202, opened
    location = opened.headers["Location"]
    return registry.put(f"{location}&digest={blob.digest}", content=blob.content)


def push(
    registry: RunningRegistry, manifest: Manifest, *tags: str, repository: str = REPOSITORY
) -> None:
    """Push *manifest* with all that it names, by its *tags*, or by its digest."""
    for child in manifest.children:
        push(registry, child, repository=repository)
    for blob in manifest.blobs:
        assert push_blob(registry, blob, repository).status == 201
    for reference in tags or (manifest.digest,):
        assert put_manifest(registry, manifest, reference, repository).status == 201


def put_manifest(
    registry: RunningRegistry, manifest: Manifest, reference: str, repository: str = REPOSITORY
) -> Answer:
    """PUT of *manifest* by tag or digest."""
    return registry.put(
        manifest_path(reference, repository),
        content=manifest.content,
        headers={"Content-Type": manifest.media_type},
    )
