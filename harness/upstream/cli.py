"""``python -m harness upstream``: a mock upstream on its own, to point one's own proxy at."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from harness.upstream.auth import Anonymous, Auth, Basic, Bearer
from harness.upstream.ledger import Entry
from harness.upstream.limits import RateLimit
from harness.upstream.mock import MockUpstream
from harness.upstream.specs import parse_address, parse_count, parse_fault, parse_image, parse_login

__all__ = ["add_command"]

T = TypeVar("T")

_EPILOG = """\
examples:
  python -m harness upstream --image team/app:v1
  python -m harness upstream --listen 127.0.0.1:5555 --image team/app:v1,layers=3,size=1MiB,docker
  python -m harness upstream --image team/app:v1,index=amd64+arm64 --bearer user:secret
  python -m harness upstream --image team/app:v1 --fault 'GET blob 429 times=2 retry-after=7'
  python -m harness upstream --image team/app:v1 --fault 'GET blob reset=1000 times=1' \\
                             --fault 'GET manifest delay=2' --rate-limit 100

a fault is: [METHOD] [KIND | /path | *glob | digest] ACTION... [times=N]
  KIND    base manifest blob tags referrers catalog token upload other
  ACTION  a status, delay=SECONDS, throttle=BYTES, hang[=BYTES], reset[=BYTES],
          truncate[=BYTES], corrupt, chunked, redirect=URL, retry-after=SECONDS,
          Header:value (Header: drops it)
The first fault that matches and is not used up is the one that applies.
"""


def add_command(commands: Any) -> None:
    """Add ``upstream`` to *commands*, which ``ArgumentParser.add_subparsers`` returned."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "upstream",
        help="run a mock upstream registry",
        description="Run a mock upstream registry: content made from its name, faults by script,"
        " every request printed. Ends on Ctrl-C.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--listen",
        type=_by(parse_address),
        default=("127.0.0.1", 0),
        metavar="HOST:PORT",
        help="where to listen (default: a free port on loopback)",
    )
    add(
        "--image",
        type=_by(parse_image),
        action="append",
        default=[],
        dest="images",
        metavar="NAME:TAG[,layers=N][,size=SIZE][,index=ARCH+ARCH][,docker]",
        help="an image to serve; may be given several times",
    )
    auth = parser.add_mutually_exclusive_group()
    auth.add_argument(
        "--basic",
        type=_by(parse_login),
        metavar="USER:PASSWORD",
        help="ask for a user name and a password",
    )
    auth.add_argument(
        "--bearer",
        type=_by(parse_login),
        metavar="USER:PASSWORD",
        help="ask for a token, which the user gets from /token here",
    )
    add(
        "--fault",
        type=_by(parse_fault),
        action="append",
        default=[],
        dest="faults",
        metavar="FAULT",
        help="what goes wrong (see below); may be given several times",
    )
    add(
        "--rate-limit",
        type=_by(parse_count),
        metavar="N",
        help="answer 429 after N GETs of a manifest",
    )
    add("--page-size", type=_by(parse_count), metavar="N", help="the most tags in one page")
    add("--verbose", action="store_true", help="print the headers of each request too")
    parser.set_defaults(run=_run)


def _by(parse: Callable[[str], T]) -> Callable[[str], T]:
    """*parse* as argparse wants it, so that its own words reach the user."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def _run(options: argparse.Namespace) -> int:
    host, port = options.listen
    upstream = MockUpstream(_auth(options), host=host, port=port, page_size=options.page_size)
    for spec in options.images:
        upstream.add(spec.repository, spec.build(), tags=(spec.tag,))
    for fault in options.faults:
        upstream.add_fault(fault)
    if options.rate_limit is not None:
        upstream.limit(RateLimit(options.rate_limit))
    upstream.ledger.watch(_Printer(verbose=options.verbose))
    asked_to_stop = _stop_signals()
    try:
        upstream.start()
    except OSError as error:
        why = f"cannot listen on {host}:{port}: {error.strerror}"
        print(f"python -m harness upstream: {why}", file=sys.stderr)
        return 2
    try:
        print(upstream.url, flush=True)
        asked_to_stop.wait()
    finally:
        upstream.stop()
    return 0


def _auth(options: argparse.Namespace) -> Auth:
    if options.basic:
        return Basic(*options.basic)
    return Bearer(*options.bearer) if options.bearer else Anonymous()


class _Printer:
    """Prints each request when its answer has ended."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose

    def __call__(self, entry: Entry) -> None:
        lines = [entry.describe()]
        if self._verbose:
            lines += [f"  {name}: {value}" for name, value in entry.headers]
        print("\n".join(lines), flush=True)


def _stop_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stop
