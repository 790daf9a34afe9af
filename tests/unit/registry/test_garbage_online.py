"""One process for each root directory, and garbage collection by the process that serves it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harness.content import an_image
from reference_registry.clock import SystemClock
from reference_registry.config import Config, HttpConfig, StorageConfig
from reference_registry.config.problem import CannotStart
from reference_registry.digest import digest_of
from reference_registry.garbage.collect import Options
from reference_registry.garbage.online import RootInUse, collect, lock_root
from reference_registry.profiles import profile_named
from reference_registry.server.server import Server
from reference_registry.storage.store import open_storage
from tests.unit.registry.trees import put, put_blob

pytestmark = pytest.mark.anyio

_IDEAL = profile_named("ideal")


def _server(root: Path, profile: str = "ideal") -> Server:
    http, storage = HttpConfig(addr="127.0.0.1:0"), StorageConfig(rootdirectory=root)
    return Server(Config(http=http, storage=storage), profile=profile_named(profile))


@asynccontextmanager
async def _serving(root: Path, profile: str = "ideal") -> AsyncIterator[Server]:
    server = _server(root, profile)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def _with_garbage(root: Path) -> None:
    storage = open_storage(StorageConfig(rootdirectory=root), _IDEAL, SystemClock())
    put(storage, "app", an_image("app"), "v1")
    put(storage, "app", an_image("untagged"))
    put_blob(storage, "app", b"an orphan")


def _collect(root: Path, options: Options) -> tuple[list[str], dict[str, object]]:
    lines: list[str] = []
    report = collect(StorageConfig(rootdirectory=root), _IDEAL, options, lines.append)
    return lines, report | {"duration_seconds": None}


# -- the lock ---------------------------------------------------------------------------------
async def test_a_second_registry_does_not_start(tmp_path: Path) -> None:
    async with _serving(tmp_path):
        with pytest.raises(CannotStart) as refused:
            await _server(tmp_path).start()
    assert str(refused.value) == (
        f"storage.filesystem.rootdirectory: {tmp_path} is in use by process {os.getpid()}; "
        "give each registry a directory of its own"
    )
    async with _serving(tmp_path):
        pass


async def test_releases_share_a_directory(tmp_path: Path) -> None:
    async with _serving(tmp_path, "3.1"), _serving(tmp_path, "3.1"):
        assert not (tmp_path / ".pullproof").exists()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from reference_registry.garbage.online import lock_root\n"
        "lock = lock_root(Path(sys.argv[1]))\nprint(flush=True)\ntime.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(RootInUse, match=f"is in use by process {holder.pid}"):
            lock_root(tmp_path)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    os.close(lock_root(tmp_path))


# -- collection on request --------------------------------------------------------------------
@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("depth", [0, 4], ids=["", "a path too long for a socket"])
async def test_the_running_registry_collects(tmp_path: Path, dry_run: bool, depth: int) -> None:
    """The output and report are the same as without a running registry."""
    one, two = (tmp_path / name / "/".join(["deeper" * 5] * depth) for name in ("one", "two"))
    _with_garbage(one)
    _with_garbage(two)
    options = Options(dry_run=dry_run, delete_untagged=True)

    alone = _collect(one, options)
    async with _serving(two):
        path = two / ".pullproof/collect.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        asked = await asyncio.to_thread(_collect, two, options)

    assert asked == alone
    assert alone[1]["error"] is None
    left = open_storage(StorageConfig(rootdirectory=two), _IDEAL, SystemClock()).blobs
    assert left.has(digest_of(b"an orphan")) == dry_run


@pytest.mark.parametrize("request_line", [b"", b"{}\n", b"nonsense\n", b'{"grace": "x"}\n'])
async def test_a_bad_request_is_closed(tmp_path: Path, request_line: bytes) -> None:
    async with _serving(tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / ".pullproof/collect.sock")
        writer.write(request_line)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".pullproof").mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / ".pullproof/collect.sock"))
    _with_garbage(tmp_path)
    async with _serving(tmp_path):
        _, report = await asyncio.to_thread(_collect, tmp_path, Options())
    assert report["error"] is None
