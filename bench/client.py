"""The clients of a benchmark: ``wrk`` for many small responses, threads for large ones."""

from __future__ import annotations

import http.client
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from harness.clients.containerd_pull import MANIFEST_TYPES
from harness.system.process import run_program

_ACCEPT = ", ".join(MANIFEST_TYPES)
_BUFFER = 1 << 20
_TIMEOUT = 60.0
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_FAILED = re.compile(r"(Non-2xx or 3xx responses: \d+|Socket errors: .+)")


class CannotMeasure(Exception):
    """A figure is not available. The text, one short line, goes into its cell."""


def get(url: str) -> bytes:
    """The body at *url*. Raises like :func:`pull`."""
    return b"".join(bytes(piece) for piece in _pieces(url))


def pull(url: str, size: int) -> float:
    """The seconds to receive the *size* bytes at *url*. Raises ``OSError``, and ``CannotMeasure``
    for another size, a status other than 200, or a minute without progress."""
    began = time.monotonic()
    received = sum(len(piece) for piece in _pieces(url))
    if received != size:
        raise CannotMeasure(f"{received} bytes instead of {size}")
    return time.monotonic() - began


def pull_together(clients: int, url: str, size: int) -> list[float]:
    """:func:`pull` by several clients that start at the same moment; the seconds of each."""
    start = threading.Barrier(clients)

    def one(_: int) -> float:
        start.wait()
        return pull(url, size)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, range(clients)))


def requests_per_second(url: str, seconds: int) -> float:
    """What ``wrk`` reaches with GET of *url* over 16 connections."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise CannotMeasure("wrk is not installed")
    words = ["-t1", "-c16", f"-d{seconds}s", "--timeout", "10s", "-H", f"Accept: {_ACCEPT}", url]
    run = run_program([wrk, *words], timeout=seconds + 20)
    if failed := _FAILED.search(run.stdout):
        raise CannotMeasure(failed[1])
    rate = _RATE.search(run.stdout)
    if rate is None:
        raise CannotMeasure(f"wrk: {(run.stdout + run.stderr).strip()[-80:]}")
    return float(rate[1])


def _pieces(url: str) -> Iterator[memoryview]:
    """The body at *url*; each piece is valid until the next one."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT)
    try:
        connection.request("GET", url.partition(parts.netloc)[2], headers={"Accept": _ACCEPT})
        response = connection.getresponse()
        if response.status != 200:
            raise CannotMeasure(f"{response.status} for {parts.path[:24]}")
        buffer = memoryview(bytearray(_BUFFER))
        while got := response.readinto(buffer):
            yield buffer[:got]
    except TimeoutError as error:
        raise CannotMeasure("not done in time") from error
    except http.client.HTTPException as error:
        raise CannotMeasure(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
