"""The clients of a benchmark: ``wrk`` for many small answers, threads for large ones."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from urllib.parse import urlsplit

from bench.problem import CannotMeasure
from harness.content.images import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
)

__all__ = ["ACCEPT", "get", "pull", "pull_together", "requests_per_second"]

ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST))

_BUFFER = 1 << 20
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_FAILED = re.compile(r"(Non-2xx or 3xx responses: \d+|Socket errors: .+)")


def get(url: str, deadline: float) -> bytes:
    """The body at *url*. ``CannotMeasure`` for any status but 200, ``OSError``."""
    body = bytearray()
    _read(url, deadline, body.extend)
    return bytes(body)


def pull(url: str, size: int, deadline: float) -> float:
    """The seconds until the *size* bytes at *url* were here. ``CannotMeasure`` where there are
    fewer or more, or the time is over (*deadline* is one of ``time.monotonic``)."""
    began = time.monotonic()
    received = 0

    def count(piece: memoryview) -> None:
        nonlocal received
        received += len(piece)

    _read(url, deadline, count)
    if received != size:
        raise CannotMeasure(f"{received} bytes instead of {size}")
    return time.monotonic() - began


def pull_together(clients: int, url: str, size: int, deadline: float) -> list[float]:
    """:func:`pull` by so many clients that begin at one moment; the seconds of each."""
    line = threading.Barrier(clients)

    def one(_: int) -> float:
        line.wait()
        return pull(url, size, deadline)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, range(clients)))


def requests_per_second(url: str, seconds: int, connections: int = 16) -> float:
    """What ``wrk`` reaches with GET of *url*."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise CannotMeasure("wrk is not installed")
    words = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    try:
        run = subprocess.run(
            [wrk, *words, "-H", f"Accept: {ACCEPT}", url],
            capture_output=True,
            text=True,
            timeout=seconds + 20,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotMeasure("wrk did not end") from error
    if failed := _FAILED.search(run.stdout):
        raise CannotMeasure(failed[1])
    rate = _RATE.search(run.stdout)
    if rate is None:
        raise CannotMeasure(f"wrk: {(run.stdout + run.stderr).strip()[-80:]}")
    return float(rate[1])


def _read(url: str, deadline: float, take: Callable[[memoryview], object]) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_left(deadline))
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", target, headers={"Accept": ACCEPT})
        response = connection.getresponse()
        if response.status != HTTPStatus.OK:
            raise CannotMeasure(f"{response.status} for {parts.path[:24]}")
        buffer = memoryview(bytearray(_BUFFER))
        while got := response.readinto(buffer):
            take(buffer[:got])
            _left(deadline)
    except TimeoutError as error:
        raise CannotMeasure("not done in time") from error
    except http.client.HTTPException as error:
        raise CannotMeasure(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise CannotMeasure("not done in time")
    return left
