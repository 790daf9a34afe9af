"""Garbage collection next to clients: every order of their steps, one after the other.

What happens within a step is atomic between them, since it is done under the lock of
``storage.leases``; so these orders are all that can happen, and no clock or thread is needed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import combinations_with_replacement
from pathlib import Path

import pytest

from harness.content import Blob, Manifest, a_layer, an_artifact, an_image, an_index
from reference_registry.clock import SystemClock
from reference_registry.config import StorageConfig
from reference_registry.digest import Digest, digest_of
from reference_registry.garbage.collect import Collection, Options
from reference_registry.http.errors import RegistryError
from reference_registry.http.messages import Request
from reference_registry.manifest import parse_manifest
from reference_registry.profiles import IDEAL, Profile
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.layout import repository_names
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.store import Storage, open_storage
from reference_registry.storage.uploads import BlobWriter
from tests.support.requests import a_request
from tests.unit.registry.trees import put, put_blob

_HOUR = timedelta(hours=1)
_DAY_NS = 24 * 3600 * 10**9
_NO_LEASES = replace(IDEAL, gc_keeps_what_is_leased=False)

Step = Callable[[], object]
_SHARED = a_layer("that nothing refers to yet")
_OWN = a_layer("that comes with the push")
_PUSHED = an_image("pushed", layers=[_SHARED, _OWN])
_UNTAGGED = an_image("untagged", layers=1)
_INDEX = an_index(_UNTAGGED)
_SIGNATURE = an_artifact("application/vnd.test.signature", subject=_PUSHED)


def _open(root: Path, profile: Profile = IDEAL) -> Storage:
    """Each its own, as each process has."""
    return open_storage(StorageConfig(rootdirectory=root), profile, SystemClock())


def _old_tree(root: Path) -> None:
    """As of yesterday: an image in use, and garbage: a layer, an image without a tag, and what
    signs an image that is not here."""
    storage = _open(root)
    put(storage, "app", an_image("in use", layers=1), "v1")
    put_blob(storage, "app", _SHARED.content)
    for blob in _PUSHED.blobs:
        if blob not in (_SHARED, _OWN):
            put_blob(storage, "app", blob.content)
    put(storage, "app", _UNTAGGED)
    put(storage, "app", _SIGNATURE)
    for path in (root, *root.rglob("*")):
        yesterday = path.stat().st_mtime_ns - _DAY_NS
        os.utime(path, ns=(yesterday, yesterday))


# -- what clients do --------------------------------------------------------------------------
@dataclass
class Client:
    """Speaks to a registry that serves the storage."""

    storage: Storage

    def repository(self, name: str) -> LocalRepository:
        return LocalRepository(name, self.storage)

    def look(self, name: str, digest: str) -> None:
        """HEAD of a blob, and an upload where it is not there."""
        try:
            _wait(self.repository(name).serve_blob(Digest(digest), _head()))
        except RegistryError:
            self.upload(name, next(b for b in _PUSHED.blobs if b.digest == digest))

    def look_for_manifest(self, name: str, manifest: Manifest) -> None:
        """HEAD of a manifest, and a push where it is not there."""
        try:
            _wait(self.repository(name).manifest(Digest(manifest.digest)))
        except RegistryError:
            for blob in manifest.blobs:
                self.upload(name, blob)
            self.push(name, manifest)

    def upload(self, name: str, blob: Blob) -> None:
        put_blob(self.storage, name, blob.content)

    def mount(self, name: str, blob: Blob, source: str | None) -> None:
        if not _wait(self.repository(name).mount_blob(Digest(blob.digest), source)):
            self.upload(name, blob)

    def push(self, name: str, manifest: Manifest, *tags: str) -> None:
        parsed = parse_manifest(manifest.content)
        repository = self.repository(name)
        _wait(
            repository.put_manifest(
                Digest(manifest.digest), parsed.media_type, manifest.content, tags
            )
        )


def _wait(answer: object) -> object:
    return asyncio.run(answer)  # type: ignore[arg-type]


def _head() -> Request:
    return a_request("/v2/app/blobs/x", "HEAD")


def _push_with_looks(client: Client) -> list[Step]:
    def look() -> None:
        for blob in _PUSHED.blobs:
            client.look("app", blob.digest)

    return [look, lambda: client.push("app", _PUSHED, "v2")]


def _push_with_mounts(client: Client) -> list[Step]:
    def mount() -> None:
        config, *layers = _PUSHED.blobs
        client.mount("new/app", config, None)
        for layer in layers:
            client.mount("new/app", layer, "app")

    return [mount, lambda: client.push("new/app", _PUSHED, "v2")]


def _push_with_uploads(client: Client) -> list[Step]:
    """Of what is there already, by a client that does not check first."""

    def upload() -> None:
        for blob in _PUSHED.blobs:
            client.upload("app", blob)

    return [upload, lambda: client.push("app", _PUSHED, "v2")]


def _push_of_what_is_signed(client: Client) -> list[Step]:
    """The signature is there already, or comes first."""

    def first() -> None:
        client.look_for_manifest("app", _SIGNATURE)
        client.upload("app", _PUSHED.blobs[0])

    def then() -> None:
        for blob in _PUSHED.blobs[1:]:
            client.upload("app", blob)
        client.push("app", _PUSHED, "v2")

    return [first, then]


def _move_of_a_tag(client: Client) -> list[Step]:
    """To an image that no tag had. Its blobs are not asked for, since the image is there."""
    return [
        lambda: client.look_for_manifest("app", _UNTAGGED),
        lambda: client.push("app", _UNTAGGED, "v1"),
    ]


def _push_of_an_index(client: Client) -> list[Step]:
    """Of an image that is there."""
    return [
        lambda: client.look_for_manifest("app", _UNTAGGED),
        lambda: client.push("app", _INDEX, "multi"),
    ]


def _fill(client: Client) -> list[Step]:
    """A cache gets a layer whose bytes another repository has as garbage, and then the manifest."""
    repository = client.repository("cached")
    under_way: list[BlobWriter] = []

    def begin() -> None:
        under_way.append(repository.blob_writer())
        under_way[0].append(_SHARED.content)

    def end() -> None:
        repository.commit_blob(under_way.pop(), Digest(_SHARED.digest))
        put(client.storage, "cached", _PUSHED, "v2")

    return [begin, end]


_CLIENTS: dict[str, Callable[[Client], list[Step]]] = {
    "push that asks for blobs": _push_with_looks,
    "push that mounts blobs": _push_with_mounts,
    "push that uploads again": _push_with_uploads,
    "push of what is signed already": _push_of_what_is_signed,
    "tag moved": _move_of_a_tag,
    "push of an index": _push_of_an_index,
    "fill": _fill,
}


# -- every order ------------------------------------------------------------------------------
def _play(
    root: Path, after: tuple[int, ...], steps: list[Step], wish: Options, profile: Profile
) -> None:
    """Collect in *root*, and take each of *steps* after as many of the collector's as *after*
    says."""
    collector = Collection(_open(root, profile), wish, lambda _: None)
    pending = list(zip(after, steps, strict=True))

    def take(done: int | None) -> None:
        while pending and (done is None or pending[0][0] <= done):
            pending.pop(0)[1]()

    take(0)
    for done, _ in enumerate(collector.steps(), 1):
        take(done)
    take(None)


def _losses(root: Path, *expected: Manifest) -> list[str]:
    """What is missing of the images that tags and indexes lead to, and of those *expected* in
    ``app``."""
    storage = _open(root)
    lost = []
    for name in repository_names(storage.driver):
        repository = LocalRepository(name, storage)
        pending = [
            d for tag in repository.links.tag_names() or () if (d := repository.links.tag(tag))
        ]
        if name == "app":
            pending += [Digest(manifest.digest) for manifest in expected]
        while pending:
            digest = pending.pop()
            manifest = repository.manifest_or_none(digest)
            if manifest is None:
                lost.append(f"{name}@{digest}")
                continue
            parsed = parse_manifest(manifest.content)
            pending += [child.digest for child in parsed.children]
            lost += [
                f"{name}@{blob.digest}"
                for blob in parsed.blobs
                if not repository.has_blob(blob.digest)
                or digest_of(storage.blobs.read(blob.digest)) != blob.digest
            ]
    return lost


def _losing_orders(tmp_path: Path, client: str, profile: Profile) -> Iterator[tuple[int, ...]]:
    """The orders in which something is lost."""
    tree = tmp_path / "tree"
    _old_tree(tree)
    wish = Options(delete_untagged=True, grace=_HOUR)
    expected = [_SIGNATURE] if _CLIENTS[client] is _push_of_what_is_signed else []
    with _copy(tree) as alone:
        ours = sum(1 for _ in Collection(_open(alone, profile), wish, lambda _: None).steps())
        theirs = len(_CLIENTS[client](Client(_open(alone, profile))))
    for after in combinations_with_replacement(range(ours + 1), theirs):
        with _copy(tree) as root:
            steps = _CLIENTS[client](Client(_open(root, profile)))
            try:
                _play(root, after, steps, wish, profile)
            except (RegistryError, PathNotFound):  # A client was refused what it may do.
                yield after
            else:
                if _losses(root, *expected):
                    yield after


@contextmanager
def _copy(tree: Path) -> Iterator[Path]:
    """A copy of *tree*, times and all, for a while."""
    root = tree.with_name("copy")
    shutil.copytree(tree, root)
    try:
        yield root
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("client", _CLIENTS)
def test_nothing_is_lost_in_any_order(tmp_path: Path, client: str) -> None:
    assert list(_losing_orders(tmp_path, client, IDEAL)) == []


@pytest.mark.parametrize("client", _CLIENTS)
def test_without_leases_something_is_lost(tmp_path: Path, client: str) -> None:
    """So the orders do contain those that matter."""
    assert any(True for _ in _losing_orders(tmp_path, client, _NO_LEASES))


def test_unused_content_is_deleted(tmp_path: Path) -> None:
    _old_tree(tmp_path)
    collection = Collection(
        _open(tmp_path), Options(delete_untagged=True, grace=_HOUR), lambda _: None
    )

    for _ in collection.steps():
        pass

    gone = collection.swept.blobs.keys()
    in_use = an_image("in use", layers=1)
    stored = set(_open(tmp_path).blobs.directories())
    assert {_SHARED.digest, _UNTAGGED.digest, _SIGNATURE.digest} <= gone
    assert stored == {in_use.digest, *(blob.digest for blob in in_use.blobs)}
    assert collection.swept.skipped == []
    assert not list((tmp_path / ".pullproof/trash").iterdir())


# -- leases -----------------------------------------------------------------------------------
def test_a_collector_waits_for_holders_and_they_for_it(tmp_path: Path) -> None:
    mine, theirs = _open(tmp_path).leases, _open(tmp_path).leases
    order = []

    def collect() -> None:
        with theirs.alone():
            order.append("alone")

    def hold() -> None:
        with theirs.held():
            order.append("held again")

    with mine.held(), mine.held():
        collector = threading.Thread(target=collect)
        collector.start()
        order.append("held")
    collector.join()
    with mine.alone():
        holder = threading.Thread(target=hold)
        holder.start()
        order.append("alone again")
    holder.join()
    assert order == ["held", "alone", "alone again", "held again"]


def test_use_writes_once_per_collection(tmp_path: Path) -> None:
    """Serving a blob repeatedly does not write to the disk, but once after a collection begins."""
    storage = _open(tmp_path)
    put_blob(storage, "app", _SHARED.content)
    digest, leases = Digest(_SHARED.digest), storage.leases
    directory = tmp_path / layout.blob_directory(digest)[1:]
    pushed = directory.stat().st_mtime_ns

    leases.use(digest)
    assert directory.stat().st_mtime_ns == pushed

    with leases.collecting():
        now = time.time_ns()
        assert not leases.is_leased(digest, now)
        leases.use(digest)
        assert leases.is_leased(digest, now)
