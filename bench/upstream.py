"""The upstream of a benchmark, a process of its own: ``python -m bench.upstream``.

It holds one small image and blobs that are large and cost no memory. It prints its URL, and then a
line for each answer with a blob's bytes, so that the benchmark can count them.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from dataclasses import dataclass

from bench.problem import CannotMeasure
from harness.content import Blob, Image, an_image
from harness.system.process import Process
from harness.upstream import MockUpstream
from harness.upstream.ledger import Entry

__all__ = ["REPOSITORY", "TAG", "Upstream", "blob_number", "the_image"]

REPOSITORY = "team/app"
TAG = "v1"

_START_TIMEOUT = 60.0
_QUIET = 0.3
"""Seconds without a further body after which none is expected any more."""
_QUIET_TIMEOUT = 10.0


def the_image() -> Image:
    """The image that upstream has as ``team/app:v1``."""
    return an_image("bench", layers=13)


def blob_number(number: int, size: int) -> Blob:
    """One of the large blobs of ``team/app``: *size* bytes, different for each *number*."""
    return Blob.of_size(size, f"bench-{number}")


@dataclass(frozen=True)
class Upstream:
    """The process, as the benchmark sees it."""

    process: Process
    url: str

    @classmethod
    def start(cls, blobs: int, size: int, large: int = 0) -> Upstream:
        """One with *blobs* blobs of *size* bytes, and one of *large* bytes unless that is 0.
        ``CannotMeasure`` where it does not start."""
        words = ["--blobs", str(blobs), "--size", str(size), "--large", str(large)]
        process = Process([sys.executable, "-m", "bench.upstream", *words])
        url = process.await_output(re.compile(r"http://\S+"), timeout=_START_TIMEOUT)
        if url is None:
            process.kill()
            raise CannotMeasure(f"the upstream did not start: {process.output()}")
        return cls(process, url[0])

    def bodies(self, blob: Blob) -> int:
        """How often the bytes of *blob* were asked for, wholly or in part, once that is over."""
        asked = -1
        changed = give_up = time.monotonic()
        while (now := time.monotonic()) < changed + _QUIET and now < give_up + _QUIET_TIMEOUT:
            before, asked = asked, self.process.output().count(f"body {blob.digest}\n")
            changed = changed if asked == before else now
            time.sleep(0.02)
        return asked


def _serve(blobs: int, size: int, large: int) -> None:
    # The benchmark ends it by SIGTERM, which finds nothing to save here.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    upstream = MockUpstream()
    upstream.add(REPOSITORY, the_image(), tags=(TAG,))
    for number in range(blobs):
        upstream.add(REPOSITORY, blob_number(number, size))
    if large:
        upstream.add(REPOSITORY, blob_number(0, large))

    def watch(entry: Entry) -> None:
        if entry.kind == "manifest":
            upstream.ledger.clear()  # there are very many of them
        elif entry.method == "GET" and entry.kind == "blob" and entry.sent_bytes:
            print(f"body {entry.digest}", flush=True)

    upstream.ledger.watch(watch)
    upstream.start()
    print(upstream.url, flush=True)
    signal.pause()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("--blobs", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--large", type=int, default=0)
    options = parser.parse_args()
    _serve(options.blobs, options.size, options.large)
