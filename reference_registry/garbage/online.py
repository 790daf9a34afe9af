"""Garbage collection next to a running registry.

The process that serves a root directory holds its lock (``storage.root_lock``) and listens on a
unix socket beside it. ``garbage-collect`` takes the lock and collects, or, where the lock is taken,
asks that process to collect and passes on its output.

Both ends speak lines of JSON: one request, the :class:`Options`; then ``{"line": TEXT}`` for each
line of output, ``{"log": [LEVEL, TEXT]}`` for the log, ``{"step": [DOING, DONE, TOTAL]}`` for a
progress bar, and at last ``{"report": {...}}`` as in ``garbage.output``. The collector waits for a
command that does not read, and stops when the command ends. A profile that imitates a release takes
no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from reference_registry.clock import Clock, SystemClock
from reference_registry.config import StorageConfig
from reference_registry.config.problem import CannotStart
from reference_registry.profiles import Profile
from reference_registry.storage import layout
from reference_registry.storage.root_lock import DIRECTORY, RootInUse, RootLock

if TYPE_CHECKING:  # Serving needs none of it and has to start quickly.
    from reference_registry.garbage.collect import Options

__all__ = ["StorageGuard", "collect"]

_SOCKET = "collect.sock"
_STEP_INTERVAL = 0.1
"""Seconds between two steps that are sent."""
_MOST_UNREAD = 4096
"""Bytes of output that may be on their way: the collector is never far ahead of the command."""

Emit = Callable[[str], None]
Watch = Callable[[str, int, int], None]
Report = dict[str, object]

_log = logging.getLogger(__name__)


# -- the command --------------------------------------------------------------------------------
def collect(
    config: StorageConfig,
    profile: Profile,
    options: Options,
    emit: Emit,
    watch: Watch = lambda *_: None,
) -> Report:
    """Collect the garbage of the storage that *config* describes, here or in the process that
    serves it. Lines of output go to *emit*, progress to *watch*.

    Returns the report (``garbage.output``), whose ``error`` says why it failed, if it did.
    ``BrokenPipeError`` where the reader of the output has gone.
    """
    try:
        # A dry run writes nothing, and there may be nothing to collect.
        blobs = config.rootdirectory / layout.BLOBS[1:]
        with _locked(config, profile, create=not options.dry_run and blobs.exists()):
            return _collect(config, profile, SystemClock(), options, emit, watch, _log)
    except RootInUse as in_use:
        try:
            return _ask(in_use.root, options, emit, watch)
        except BrokenPipeError:
            raise
        except (OSError, ValueError):
            error = f"{in_use}, which does not collect garbage on request; stop it first"
            return {"error": error}


@contextlib.contextmanager
def _locked(config: StorageConfig, profile: Profile, *, create: bool) -> Iterator[None]:
    lock = _take_lock(config, profile, create=create)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _take_lock(config: StorageConfig, profile: Profile, *, create: bool) -> RootLock | None:
    """The lock on the root directory; None where *profile* takes none, or there can be none.
    :class:`RootInUse`."""
    if not profile.locks_storage or config.driver != "filesystem":
        return None
    try:
        return RootLock(config.rootdirectory, create=create)
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s: not locked: %s", config.rootdirectory, error)
        return None


def _collect(
    config: StorageConfig,
    profile: Profile,
    clock: Clock,
    options: Options,
    emit: Emit,
    watch: Watch,
    log: logging.Logger,
) -> Report:
    from reference_registry.garbage.collect import Collection, run
    from reference_registry.garbage.output import report
    from reference_registry.storage.store import open_storage

    began = time.monotonic()
    collection = Collection(open_storage(config, profile, clock), options, emit, log)
    error = run(collection, watch)
    return report(collection, seconds=time.monotonic() - began, error=error)


def _ask(root: Path, options: Options, emit: Emit, watch: Watch) -> Report:
    """Let the process that holds *root* collect. ``OSError`` and ``ValueError`` where it does not
    answer as it should."""
    with socket.socket(socket.AF_UNIX) as connection:
        with _address(root) as address:
            connection.connect(address)
        request = {**vars(options), "grace": options.grace.total_seconds()}
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb", _MOST_UNREAD) as answer:
            for line in answer:
                match json.loads(line):
                    case {"line": str(text)}:
                        emit(text)
                    case {"log": [int(level), str(text)]}:
                        _log.log(level, "%s", text)
                    case {"step": [str(doing), int(done), int(total)]}:
                        watch(doing, done, total)
                    case {"report": dict(found)}:
                        for warning in found["warnings"]:
                            _log.warning("%s", warning)
                        return found
    raise ValueError("the answer has no end")


@contextlib.contextmanager
def _address(root: Path) -> Iterator[str]:
    """The address of the socket below *root*. Linux allows 107 bytes, so it is made short."""
    directory = root / DIRECTORY[1:]
    address = str(directory / _SOCKET)
    if len(os.fsencode(address)) < 100:
        yield address
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)


def _bind(listener: socket.socket, root: Path) -> None:
    with _address(root) as address:
        path = Path(address)
        path.unlink(missing_ok=True)  # An earlier process left it.
        listener.bind(address)
        path.chmod(0o600)


def _unbind(root: Path) -> None:
    """Remove the socket: copying a tree fails on one."""
    with contextlib.suppress(OSError), _address(root) as address:
        Path(address).unlink(missing_ok=True)


# -- the registry -------------------------------------------------------------------------------
class StorageGuard:
    """Holds the root directory for a registry that serves it, and collects garbage on request."""

    def __init__(self, config: StorageConfig, profile: Profile, clock: Clock) -> None:
        self._config = config
        self._profile = profile
        self._clock = clock
        self._lock: RootLock | None = None
        self._server: asyncio.Server | None = None
        self._one_at_a_time = asyncio.Lock()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        """Raises :class:`CannotStart` where another process holds the directory."""
        try:
            self._lock = _take_lock(self._config, self._profile, create=True)
        except RootInUse as in_use:
            raise CannotStart(
                "storage.filesystem.rootdirectory",
                str(in_use),
                "give each registry a directory of its own",
            ) from None
        if self._lock is not None:
            try:
                await self._listen()
            except OSError as error:
                _log.warning("garbage-collect cannot reach this process: %s", error)

    async def _listen(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        try:
            _bind(listener, self._config.rootdirectory)
            # No client can connect before this.
            self._server = await asyncio.start_unix_server(self._accept, sock=listener)
        except OSError:
            listener.close()
            raise

    async def stop(self) -> None:
        """End collections that are running, and let another process have the directory."""
        for task, writer in self._connections.items():
            writer.transport.abort()  # A collector may be waiting for it.
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            _unbind(self._config.rootdirectory)
        if self._lock is not None:
            self._lock.release()
        self._server = self._lock = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            await self._answer(await reader.readline(), writer)
        finally:
            del self._connections[task]
            writer.close()

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        from reference_registry.garbage.collect import Options
        from reference_registry.garbage.periodic import in_thread

        try:
            wanted = json.loads(request)
            options = Options(**{**wanted, "grace": timedelta(seconds=wanted["grace"])})
        except (ValueError, TypeError, KeyError, OverflowError):
            return
        command = _Command(writer)

        def work(stopping: threading.Event) -> None:
            def watch(doing: str, done: int, total: int) -> None:
                if stopping.is_set():
                    raise BrokenPipeError("the registry stops")
                command.watch(doing, done, total)

            log = logging.Logger(__name__)
            log.addHandler(command)
            config, profile, clock = self._config, self._profile, self._clock
            command.send(report=_collect(config, profile, clock, options, command.line, watch, log))

        try:
            async with self._one_at_a_time:
                await in_thread(work)
            await writer.drain()
        except ConnectionError as error:
            _log.info("garbage collection on request ended early: %s", error)


class _Command(logging.Handler):
    """The command that asked for a collection; called in the collector's thread."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(logging.INFO)
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        writer.transport.set_write_buffer_limits(0)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_UNREAD)
        self._shown = 0.0

    def send(self, **message: object) -> None:
        """Send *message* without waiting, since the collector may hold a lock."""
        line = json.dumps(message).encode() + b"\n"
        self._loop.call_soon_threadsafe(self._writer.write, line)

    def line(self, text: str) -> None:
        self.send(line=text)

    def emit(self, record: logging.LogRecord) -> None:
        self.send(log=[record.levelno, record.getMessage()])

    def watch(self, doing: str, done: int, total: int) -> None:
        """Between two steps: wait until the command has read enough. ``ConnectionError`` when it
        has gone."""
        if (now := time.monotonic()) - self._shown >= _STEP_INTERVAL:
            self._shown = now
            self.send(step=[doing, done, total])
        if self._writer.is_closing():
            raise BrokenPipeError("the command has gone")
        if self._writer.transport.get_write_buffer_size():
            try:
                asyncio.run_coroutine_threadsafe(self._writer.drain(), self._loop).result()
            except ConnectionError as gone:
                raise BrokenPipeError(str(gone)) from None
