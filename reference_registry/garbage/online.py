"""One process per root directory, and garbage collection next to a running registry.

The process that serves a root directory holds its lock and listens on a
unix socket beside it. ``garbage-collect`` takes the lock and collects, or, if the lock is taken,
asks that process to collect and passes on its output.

Both ends send lines of JSON: one request, the :class:`Options`; then ``{"line": TEXT}`` for each
line of output, ``{"log": [LEVEL, TEXT]}`` for the log, ``{"step": [DOING, DONE, TOTAL]}`` for a
progress bar, and at the end ``{"report": {...}}``. The collector waits for a command that does not
read, and stops when the command ends. A profile that imitates a release takes no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
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

if TYPE_CHECKING:  # Serving does not need it and has to start quickly.
    from reference_registry.garbage.collect import Options

_DIRECTORY = "/.pullproof"
"""Storage path for files of ours. Distribution ignores everything outside ``/docker``."""
_SOCKET = "collect.sock"
_REQUEST_TIMEOUT = 10.0
"""Seconds for a command to send its request."""
_STEP_INTERVAL = 0.1
"""Seconds between two steps that are sent."""
_MOST_UNREAD = 4096
"""Bytes that the socket buffers, so that the collector is never far ahead of the command."""

_log = logging.getLogger(__name__)


# -- the lock ------------------------------------------------------------------------------------
class RootInUse(Exception):
    """Another process, ``pid`` if known, holds the root directory."""

    def __init__(self, root: Path, pid: int | None) -> None:
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{root} is in use by {holder}")
        self.root = root
        self.pid = pid


def lock_root(root: Path, *, create: bool = True) -> int:
    """Hold ``flock(2)`` on ``<root>/.pullproof/lock`` until the returned file descriptor is closed,
    or the process ends. Two holders within one process exclude each other too. The file stays:
    removing it would let two processes lock two files of one name.

    Raises :class:`RootInUse`, or ``OSError`` if *root* is read-only or its file system does not
    lock. Without *create*, a missing file is ``FileNotFoundError``.
    """
    path = root / _DIRECTORY[1:] / "lock"
    flags = os.O_RDWR | os.O_CLOEXEC
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags |= os.O_CREAT
    lock = os.open(path, flags, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except OSError as error:
        pid = os.pread(lock, 20, 0)
        os.close(lock)
        if isinstance(error, BlockingIOError):
            raise RootInUse(root, int(pid) if pid.isdigit() else None) from None
        raise
    return lock


# -- the command --------------------------------------------------------------------------------
def collect(
    config: StorageConfig,
    profile: Profile,
    options: Options,
    emit: Callable[[str], None],
    watch: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, object]:
    """Collect the garbage of the storage that *config* describes, here or in the process that
    serves it. Lines of output go to *emit*, progress to *watch*.

    Returns the report, whose ``error`` says why the collection failed. ``BrokenPipeError`` if the
    reader of the output has gone.
    """
    from reference_registry.garbage.collect import run
    from reference_registry.storage.store import open_storage

    try:
        # A dry run writes nothing, and there may be nothing to collect.
        blobs = config.rootdirectory / layout.BLOBS[1:]
        lock = _take_lock(config, profile, create=not options.dry_run and blobs.exists())
        try:
            return run(open_storage(config, profile, SystemClock()), options, emit, watch)
        finally:
            if lock is not None:
                os.close(lock)
    except RootInUse as in_use:
        try:
            return _ask(in_use.root, options, emit, watch)
        except BrokenPipeError:
            raise
        except (OSError, ValueError):
            error = f"{in_use}, which does not collect garbage on request; stop it first"
            return {"error": error}


def _take_lock(config: StorageConfig, profile: Profile, *, create: bool) -> int | None:
    """The lock on the root directory; None if *profile* takes none, or there can be none.
    :class:`RootInUse`."""
    if not profile.locks_storage or config.driver != "filesystem":
        return None
    try:
        return lock_root(config.rootdirectory, create=create)
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s: not locked: %s", config.rootdirectory, error)
        return None


def _ask(
    root: Path,
    options: Options,
    emit: Callable[[str], None],
    watch: Callable[[str, int, int], None],
) -> dict[str, object]:
    """Let the process that holds *root* collect. ``OSError`` and ``ValueError`` if it does not
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
    directory = root / _DIRECTORY[1:]
    address = str(directory / _SOCKET)
    if len(os.fsencode(address)) < 100:
        yield address
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)


# -- the registry -------------------------------------------------------------------------------
class StorageGuard:
    """Holds the root directory for a registry that serves it, and collects garbage on request, in
    a thread of its own."""

    def __init__(self, config: StorageConfig, profile: Profile, clock: Clock) -> None:
        self._config = config
        self._profile = profile
        self._clock = clock
        self._lock: int | None = None
        self._thread: threading.Thread | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._connection: socket.socket | None = None
        """With the command that is served."""
        self._stopping = False

    async def start(self) -> None:
        """Raises :class:`CannotStart` if another process holds the directory."""
        try:
            self._lock = _take_lock(self._config, self._profile, create=True)
        except RootInUse as in_use:
            fix = "give each registry a directory of its own"
            raise CannotStart("storage.filesystem.rootdirectory", str(in_use), fix) from None
        if self._lock is None:
            return
        try:
            self._listen()
        except OSError as error:
            _log.warning("garbage-collect cannot reach this process: %s", error)
        else:
            self._thread = threading.Thread(target=self._serve, daemon=True, name="garbage")
            self._thread.start()

    async def stop(self) -> None:
        """End a collection that is running, and let another process have the directory."""
        self._stopping = True
        if self._thread is not None:
            for blocking in (self._listener, self._connection):
                with contextlib.suppress(OSError):
                    if blocking is not None:
                        blocking.shutdown(socket.SHUT_RDWR)
            await asyncio.to_thread(self._thread.join)
        self._listener.close()
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._thread = None

    def _listen(self) -> None:
        with _address(self._config.rootdirectory) as address:
            path = Path(address)
            path.unlink(missing_ok=True)  # An earlier process left it.
            self._listener.bind(address)
            path.chmod(0o600)
        self._listener.listen()

    def _serve(self) -> None:
        """Serve one command after the other."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._stopping:
                    break
                time.sleep(1)  # No file descriptors are left.
                continue
            with connection:
                self._connection = connection
                try:
                    self._answer(connection)
                except OSError as error:
                    _log.info("garbage collection on request ended early: %s", error)
                self._connection = None
        # Copying a tree fails on a socket.
        with contextlib.suppress(OSError), _address(self._config.rootdirectory) as address:
            Path(address).unlink()

    def _answer(self, connection: socket.socket) -> None:
        from reference_registry.garbage.collect import Options, run
        from reference_registry.storage.store import open_storage

        connection.settimeout(_REQUEST_TIMEOUT)
        with connection.makefile("rb") as request:
            line = request.readline()
        connection.settimeout(None)
        try:
            wanted = json.loads(line)
            options = Options(**{**wanted, "grace": timedelta(seconds=wanted["grace"])})
        except (ValueError, TypeError, KeyError, OverflowError):
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_UNREAD)
        command = _Command(connection)

        def watch(doing: str, done: int, total: int) -> None:
            if self._stopping:
                raise BrokenPipeError("the registry stops")
            command.watch(doing, done, total)

        log = logging.Logger(__name__)
        log.addHandler(command)
        storage = open_storage(self._config, self._profile, self._clock)
        command.send(report=run(storage, options, command.line, watch, log))
        command.write()


class _Command(logging.Handler):
    """The command that asked for a collection."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(logging.INFO)
        self._connection = connection
        self._unwritten: list[bytes] = []
        self._shown = 0.0

    def send(self, **message: object) -> None:
        """Send *message* with the next :meth:`write`: the collector may hold a lock now."""
        self._unwritten.append(json.dumps(message).encode() + b"\n")

    def line(self, text: str) -> None:
        """Send a line of output."""
        self.send(line=text)

    def emit(self, record: logging.LogRecord) -> None:
        self.send(log=[record.levelno, record.getMessage()])

    def watch(self, doing: str, done: int, total: int) -> None:
        """Between two steps: wait until the command has read enough. ``BrokenPipeError`` when it
        has gone."""
        if (now := time.monotonic()) - self._shown >= _STEP_INTERVAL:
            self._shown = now
            self.send(step=[doing, done, total])
        self.write()

    def write(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        try:
            self._connection.sendall(b"".join(unwritten))
        except ConnectionError as gone:
            raise BrokenPipeError(str(gone)) from None
