"""``pullproof upstream``: a mock upstream on its own, to point one's own proxy at."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from harness.upstream.auth import Anonymous, Basic, Bearer
from harness.upstream.ledger import LedgerEntry
from harness.upstream.mock import MockUpstream
from harness.upstream.service import RateLimit
from harness.upstream.specs import (
    ImageSpec,
    parse_address,
    parse_count,
    parse_fault,
    parse_image,
    parse_login,
)


class _Parsed(click.ParamType[Any]):
    """A value that *parse* reads; the text of its ``ValueError`` is the message."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _option(
    name: str, parse: Callable[[str], Any], metavar: str, text: str, key: str = ""
) -> Callable[[Any], Any]:
    """An option whose values *parse* reads; repeatable if the command gets them as *key*."""
    kind = _Parsed(metavar, parse)
    names = [name, *([key] if key else [])]
    return click.option(*names, type=kind, multiple=bool(key), metavar=metavar, help=text)


@click.command()
@click.option(
    "--listen",
    type=_Parsed("address", parse_address),
    default="127.0.0.1:0",
    metavar="HOST:PORT",
    help="Where to listen (default: a free port on loopback).",
)
@_option(
    "--image",
    parse_image,
    "NAME:TAG[,layers=N][,size=SIZE][,index=ARCH+ARCH][,docker]",
    "An image to serve; repeatable.",
    "images",
)
@_option("--basic", parse_login, "USER:PASSWORD", "Ask for a user name and a password.")
@_option(
    "--bearer", parse_login, "USER:PASSWORD", "Ask for a token, which the user gets from /token."
)
@_option("--fault", parse_fault, "FAULT", "What goes wrong (see below); repeatable.", "faults")
@_option("--rate-limit", parse_count, "N", "Answer 429 after N GETs of a manifest.")
@_option("--page-size", parse_count, "N", "The most tags in one page.")
@click.option("--verbose", is_flag=True, help="Print the headers of each request too.")
def upstream(
    listen: tuple[str, int],
    images: tuple[ImageSpec, ...],
    basic: tuple[str, str] | None,
    bearer: tuple[str, str] | None,
    faults: tuple[Any, ...],
    rate_limit: int | None,
    page_size: int | None,
    verbose: bool,
) -> int:
    """Run a mock upstream registry: content made from its name, faults by script, every request
    printed. Ends on Ctrl-C.

    \b
    pullproof upstream --image team/app:v1
    pullproof upstream --listen 127.0.0.1:5555 --image team/app:v1,layers=3,size=1MiB,docker
    pullproof upstream --image team/app:v1,index=amd64+arm64 --bearer user:secret
    pullproof upstream --image team/app:v1 --fault 'GET blob 429 times=2 retry-after=7'
    pullproof upstream --image team/app:v1 --fault 'GET blob reset=1000 times=1' \\
                       --fault 'GET manifest delay=2' --rate-limit 100

    \b
    A fault is: [METHOD] [KIND | /path | *glob | digest] ACTION... [times=N]
      KIND    base manifest blob tags referrers catalog token upload other
      ACTION  a status, delay=SECONDS, throttle=BYTES, hang[=BYTES], reset[=BYTES],
              truncate[=BYTES], corrupt, chunked, redirect=URL, retry-after=SECONDS,
              Header:value (Header: drops it)

    The first fault that matches and is not used up is the one that applies.
    """
    if basic and bearer:
        raise click.UsageError("--bearer: not allowed with --basic")
    host, port = listen
    auth = Basic(*basic) if basic else Bearer(*bearer) if bearer else Anonymous()
    mock = MockUpstream(auth, host=host, port=port, page_size=page_size)
    for spec in images:
        mock.add(spec.repository, spec.build(), tags=(spec.tag,))
    for fault in faults:
        mock.add_fault(fault)
    if rate_limit is not None:
        mock.limit(RateLimit(rate_limit))
    mock.ledger.watch(partial(_print, verbose=verbose))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        mock.start()
    except OSError as error:
        raise click.UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    try:
        click.echo(mock.url)
        stop.wait()
    finally:
        mock.stop()
    return 0


def _print(entry: LedgerEntry, *, verbose: bool) -> None:
    """Print a request when its answer has ended."""
    headers = [f"  {name}: {value}" for name, value in entry.headers] if verbose else []
    print("\n".join([entry.describe(), *headers]), flush=True)
