"""Several processes on one storage, and what is left when one of them is killed.

What does not need a process of its own is in ``test_shared_storage``.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import httpx
import pytest

from harness.content import Blob
from harness.system.disk import Disk
from harness.system.process import Process
from harness.upstream import MockUpstream
from reference_registry.storage.file_lock import FileLock

_TIMEOUT = 30.0
_LISTENING = re.compile(r'listening on (127\.0\.0\.1:\d+)"')
_REPOSITORY = "team/app"
_SIZE = 4 << 20
_HALF = _SIZE // 2

T = TypeVar("T")

_http = httpx.Client(trust_env=False, timeout=_TIMEOUT)  # costly to make


@dataclass(frozen=True)
class Worker:
    """One ``serve``."""

    process: Process
    url: str
    root: Path

    def pull(self, blob: Blob) -> bytes:
        return _http.get(self.url_of(blob)).content

    def url_of(self, blob: Blob) -> str:
        return f"{self.url}/v2/{_REPOSITORY}/blobs/{blob.digest}"

    def kill(self) -> None:
        assert self.process.kill() == -signal.SIGKILL


class Begin(Protocol):
    def __call__(self, ttl: str = "168h") -> Worker: ...


@pytest.fixture
def upstream() -> Iterator[MockUpstream]:
    with MockUpstream() as upstream:
        yield upstream


@pytest.fixture
def begin(tmp_path: Path, upstream: MockUpstream) -> Iterator[Begin]:
    """Starts one more process on the storage; returns when it listens."""
    processes: list[Process] = []
    root = tmp_path / "data"

    def start(ttl: str = "168h") -> Worker:
        config = tmp_path / f"config-{len(processes)}.yml"
        config.write_text(
            f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {root}\n"
            f"http:\n  addr: 127.0.0.1:0\n"
            f"proxy:\n  remoteurl: {upstream.url}\n  ttl: {ttl}\n"
        )
        process = Process([sys.executable, "-m", "reference_registry", "serve", str(config)])
        processes.append(process)
        listening = process.await_output(_LISTENING, timeout=_TIMEOUT)
        assert listening is not None, process.output()
        return Worker(process, f"http://{listening[1]}", root)

    yield start
    for process in processes:
        process.kill()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "data")


class Client:
    """Reads a blob in a thread, until it is whole or the connection breaks."""

    def __init__(self, worker: Worker, blob: Blob) -> None:
        self.received = bytearray()
        self.is_cut = False
        self._thread = threading.Thread(target=self._read, args=(worker.url_of(blob),))
        self._thread.start()

    def _read(self, url: str) -> None:
        try:
            with _http.stream("GET", url) as response:
                for chunk in response.iter_bytes():
                    self.received += chunk
        except httpx.HTTPError:
            self.is_cut = True

    def wait(self) -> bytes:
        self._thread.join(_TIMEOUT)
        assert not self._thread.is_alive()
        return bytes(self.received)


def eventually(condition: Callable[[], T], timeout: float = _TIMEOUT) -> T:
    """What *condition* says, once it holds or time is over."""
    deadline = time.monotonic() + timeout
    while not (said := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return said


def saved(disk: Disk) -> set[str]:
    with contextlib.suppress(FileNotFoundError):
        return set(json.loads((disk.root / "scheduler-state.json").read_bytes()))
    return set()


def key_of(blob: Blob) -> str:
    return f"{_REPOSITORY}@{blob.digest}"


def a_blob(number: int = 0, size: int = _SIZE) -> Blob:
    return Blob(number.to_bytes(4) * (size // 4))


def claims(disk: Disk) -> list[str]:
    return [path for path in disk.files() if path.startswith(".pullproof/fills/")]


# -- one fill --------------------------------------------------------------------------------------
def test_cold_clients_of_all_processes_share_one_body(
    begin: Begin, upstream: MockUpstream, disk: Disk
) -> None:
    blob = upstream.add(_REPOSITORY, a_blob())
    workers = [begin(), begin()]
    with ThreadPoolExecutor(16) as clients:
        pulls = [clients.submit(workers[number % 2].pull, blob) for number in range(16)]
        assert all(pull.result() == blob.content for pull in pulls)
    assert upstream.ledger.count("GET", kind="blob") == 1
    assert disk.layer_links(_REPOSITORY) == {blob.digest}
    assert eventually(lambda: saved(disk) == {key_of(blob)})
    assert eventually(lambda: not claims(disk))
    assert disk.uploads(_REPOSITORY) == set()


def test_the_filling_process_is_killed(begin: Begin, upstream: MockUpstream, disk: Disk) -> None:
    """Who reads along through another process gets the rest of it."""
    blob = upstream.add(_REPOSITORY, a_blob())
    upstream.on("GET", blob, times=1).hang(after=_HALF)
    filling, other = begin(), begin()
    cut = Client(filling, blob)
    assert eventually(lambda: len(cut.received) == _HALF)
    whole = [Client(other, blob) for _ in range(3)]
    assert eventually(lambda: all(len(client.received) == _HALF for client in whole))
    assert upstream.ledger.count("GET", kind="blob") == 1

    filling.kill()
    assert cut.wait() == blob.content[:_HALF]
    assert cut.is_cut
    assert [client.wait() == blob.content for client in whole] == [True] * 3
    asked = [entry.header("range") for entry in upstream.ledger.entries if entry.kind == "blob"]
    assert asked == [None, f"bytes={_HALF}-"]
    assert disk.blob_bytes(blob.digest) == blob.content
    assert disk.layer_links(_REPOSITORY) == {blob.digest}
    assert eventually(lambda: saved(disk) == {key_of(blob)})
    assert eventually(lambda: not claims(disk))
    assert disk.uploads(_REPOSITORY) == set()


def test_what_a_killed_process_left_is_fetched_by_the_next_who_wants_it(
    begin: Begin, upstream: MockUpstream, disk: Disk
) -> None:
    blob = upstream.add(_REPOSITORY, a_blob())
    upstream.on("GET", blob, times=1).hang(after=_HALF)
    filling, other = begin(), begin()
    client = Client(filling, blob)
    assert eventually(lambda: len(client.received) == _HALF)
    filling.kill()
    client.wait()
    assert len(disk.uploads(_REPOSITORY)) == 1

    assert other.pull(blob) == blob.content
    assert disk.blob_bytes(blob.digest) == blob.content
    assert eventually(lambda: not claims(disk))
    assert disk.uploads(_REPOSITORY) == set()


def test_what_a_killed_process_left_goes_at_the_next_start(
    begin: Begin, upstream: MockUpstream, disk: Disk
) -> None:
    """And what a living one is writing stays."""
    left, live = upstream.add(_REPOSITORY, a_blob(1)), upstream.add(_REPOSITORY, a_blob(2))
    upstream.on("GET", left).hang(after=_HALF)
    going_on = upstream.on("GET", live).hang(after=_HALF)
    killed, living = begin(), begin()
    clients = [Client(killed, left), Client(living, live)]
    assert eventually(lambda: all(len(client.received) == _HALF for client in clients))
    assert len(disk.uploads(_REPOSITORY)) == 2
    killed.kill()

    begin()
    assert len(disk.uploads(_REPOSITORY)) == 1
    assert len(claims(disk)) == 1
    going_on.release()
    assert clients[1].wait() == live.content
    assert eventually(lambda: not disk.uploads(_REPOSITORY))


# -- one scheduler, one state ----------------------------------------------------------------------
def test_the_process_that_deletes_is_killed(
    begin: Begin, upstream: MockUpstream, disk: Disk
) -> None:
    blobs = [upstream.add(_REPOSITORY, a_blob(number, 4096)) for number in range(2)]
    deleting, other = begin(ttl="3s"), begin(ttl="3s")
    for worker, blob in zip((deleting, other), blobs, strict=True):
        assert worker.pull(blob) == blob.content
    assert eventually(lambda: saved(disk) == {key_of(blob) for blob in blobs})
    deleting.kill()

    assert eventually(lambda: not disk.blobs())
    assert eventually(lambda: not saved(disk))
    assert disk.layer_links(_REPOSITORY) == set()
    assert other.process.await_output(re.compile("expiry goes on"), timeout=_TIMEOUT)


def test_the_state_has_what_every_process_cached(
    begin: Begin, upstream: MockUpstream, disk: Disk
) -> None:
    """Whether they are stopped or killed, and at any moment it is whole."""
    blobs = [upstream.add(_REPOSITORY, a_blob(number, 4096)) for number in range(60)]
    workers = [begin(), begin(), begin()]
    reading = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not reading.is_set():
            seen.append(len(saved(disk)))
            time.sleep(0.002)

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(6) as clients:
        pulls = [
            clients.submit(workers[number % 3].pull, blob) for number, blob in enumerate(blobs)
        ]
        assert all(pull.result() for pull in pulls)
    wanted = {key_of(blob) for blob in blobs}
    assert workers[0].process.stop() == 0
    assert eventually(lambda: saved(disk) == wanted)
    for worker in workers[1:]:
        worker.kill()
    reading.set()
    reader.join(_TIMEOUT)
    assert saved(disk) == wanted
    assert seen == sorted(seen)


def test_no_lock_outlives_its_process(begin: Begin, upstream: MockUpstream, disk: Disk) -> None:
    blob = upstream.add(_REPOSITORY, a_blob())
    upstream.on("GET", blob).hang(after=_HALF)
    worker = begin()
    client = Client(worker, blob)
    assert eventually(lambda: len(client.received) == _HALF)
    files = [disk.root / ".pullproof/scheduler.lock", *(disk.root / path for path in claims(disk))]
    assert len(files) == 2
    assert [FileLock.take(file) for file in files] == [None, None]
    worker.kill()
    client.wait()
    for file in files:
        lock = FileLock.take(file)
        assert lock is not None
        lock.release()


def test_a_clean_end_leaves_no_files(begin: Begin, upstream: MockUpstream, disk: Disk) -> None:
    blob = upstream.add(_REPOSITORY, a_blob(size=4096))
    worker = begin()
    assert worker.pull(blob) == blob.content
    assert worker.process.stop() == 0
    assert [path for path in disk.files() if not path.startswith("docker/")] == [
        "scheduler-state.json"
    ]
