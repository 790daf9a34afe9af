"""The upstream of a benchmark, a process of its own: ``python -m bench.upstream BLOBS SIZE LARGE``.

It has one small image and large blobs that take no memory. It prints its URL, and then a line for
each response with bytes of a blob, so that the benchmark can count them.
"""

from __future__ import annotations

import re
import signal
import sys
import time
from dataclasses import dataclass

from harness.content import Blob, Image, an_image
from harness.system.process import Process
from harness.upstream import MockUpstream
from harness.upstream.ledger import LedgerEntry

REPOSITORY = "team/app"
TAG = "v1"

_START_TIMEOUT = 60.0
_QUIET = 0.3
"""Seconds without a further body after which no more are expected."""
_QUIET_TIMEOUT = 10.0


def the_image() -> Image:
    """The image that upstream has as ``team/app:v1``."""
    return an_image("bench", layers=13)


def blob_number(number: int, size: int) -> Blob:
    """One of the large blobs of ``team/app``: *size* bytes, different for each *number*."""
    return Blob.of_size(size, f"bench-{number}")


@dataclass(frozen=True)
class BenchUpstream:
    """The upstream's process, as the benchmark sees it."""

    process: Process
    url: str

    @classmethod
    def start(cls, blobs: int, size: int, large: int) -> BenchUpstream:
        """Start one with *blobs* blobs of *size* bytes and one of *large* bytes."""
        words = (str(number) for number in (blobs, size, large))
        process = Process([sys.executable, "-m", "bench.upstream", *words])
        url = process.await_output(re.compile(r"http://\S+"), timeout=_START_TIMEOUT)
        if url is None:
            process.kill()
            raise RuntimeError(f"the upstream did not start: {process.output()}")
        return cls(process, url[0])

    def bodies(self, blob: Blob) -> int:
        """How often bytes of *blob* were fetched, once no more requests arrive."""
        asked = -1
        changed = give_up = time.monotonic()
        while (now := time.monotonic()) < changed + _QUIET and now < give_up + _QUIET_TIMEOUT:
            before, asked = asked, self.process.output().count(f"body {blob.digest}\n")
            changed = changed if asked == before else now
            time.sleep(0.02)
        return asked


def _serve(blobs: int, size: int, large: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # there is nothing to save
    upstream = MockUpstream()
    upstream.add(REPOSITORY, the_image(), tags=(TAG,))
    upstream.add(REPOSITORY, blob_number(0, large))
    for number in range(blobs):
        upstream.add(REPOSITORY, blob_number(number, size))

    def watch(entry: LedgerEntry) -> None:
        if entry.kind == "manifest":
            upstream.ledger.clear()  # there are very many of them
        elif entry.method == "GET" and entry.kind == "blob" and entry.sent_bytes:
            print(f"body {entry.digest}", flush=True)

    upstream.ledger.watch(watch)
    upstream.start()
    print(upstream.url, flush=True)
    signal.pause()


if __name__ == "__main__":
    _serve(*map(int, sys.argv[1:]))
