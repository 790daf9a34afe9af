"""Parse images, faults and addresses of a command line. Pure; raises ``ValueError`` with the fix.

An image: ``team/app:v1,layers=3,size=1MiB`` or ``team/app:v1,index=amd64+arm64``. A fault: which
requests, what happens, how often: ``GET blob 429 times=2 retry-after=7``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args

from harness.content import SMALLEST_LAYER, Manifest, Platform, an_image, an_index
from harness.upstream.calls import Kind, Match
from harness.upstream.faults import Fault
from reference_registry.config import units
from reference_registry.digest import parse_digest
from reference_registry.names import is_repository_name, is_tag

_LARGEST_LAYER = 2**30
"""Layers are made in memory."""


def parse_size(text: str) -> int:
    """Bytes from ``4096``, ``64KiB``, ``1MiB``, ``2GB``."""
    try:
        return int(text) if re.fullmatch(r"[0-9]+", text) else units.parse_size(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a size such as 4096, 64KiB or 1MiB") from None


def parse_count(text: str) -> int:
    """A whole number from 1 up."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ValueError(f"{text!r} is not a number from 1 up")
    return int(text)


def parse_address(text: str) -> tuple[str, int]:
    """Host and port from ``127.0.0.1:5555``, ``[::1]:5555`` or ``:5555`` (loopback)."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address such as 127.0.0.1:5555")
    return host.strip("[]") or "127.0.0.1", int(port)


def parse_login(text: str) -> tuple[str, str]:
    """User name and password from ``user:password``."""
    username, colon, password = text.partition(":")
    if not colon or not username:
        raise ValueError("a login is written user:password")
    return username, password


# -- images -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ImageSpec:
    """An image or an index of images, with its repository and tag."""

    repository: str
    tag: str
    layers: int = 2
    layer_size: int = 4096
    platforms: tuple[Platform, ...] = ()
    """Of an index; empty for a plain image."""
    oci: bool = True

    def build(self) -> Manifest:
        """The content; equal specs give equal digests."""

        def image(platform: Platform) -> Manifest:
            return an_image(
                f"{self.repository}:{self.tag}/{platform}",
                layers=self.layers,
                layer_size=self.layer_size,
                oci=self.oci,
                platform=platform,
            )

        if not self.platforms:
            return image(Platform())
        return an_index(*map(image, self.platforms), oci=self.oci)


def parse_image(text: str) -> ImageSpec:
    """From ``NAME[:TAG][,layers=N][,size=SIZE][,index=ARCH+ARCH][,docker]``."""
    reference, *options = text.split(",")
    repository, _, tag = reference.partition(":")
    if not is_repository_name(repository):
        raise ValueError(f"{repository!r} is not a repository name such as team/app")
    spec = ImageSpec(repository, tag or "latest")
    if not is_tag(spec.tag):
        raise ValueError(f"{spec.tag!r} is not a tag")
    for option in options:
        key, _, value = option.partition("=")
        match key:
            case "layers" if value.isdecimal():
                spec = replace(spec, layers=int(value))
            case "size":
                spec = replace(spec, layer_size=_layer_size(value))
            case "index":
                names = [name if "/" in name else f"linux/{name}" for name in value.split("+")]
                spec = replace(spec, platforms=tuple(map(Platform.parse, names)))
            case "docker" if not value:
                spec = replace(spec, oci=False)
            case _:
                wanted = "layers=N, size=SIZE, index=ARCH+ARCH or docker"
                raise ValueError(f"{option!r} is not one of {wanted}")
    return spec


def _layer_size(text: str) -> int:
    size = parse_size(text)
    if not SMALLEST_LAYER <= size <= _LARGEST_LAYER:
        raise ValueError(f"a layer has from {SMALLEST_LAYER} bytes to 1GiB, not {text}")
    return size


# -- faults -------------------------------------------------------------------------------------
def parse_fault(text: str) -> Fault:
    """A fault from ``[METHOD] [KIND | PATH | GLOB | DIGEST] ACTION... [times=N]``.

    Actions: a status, ``delay=SECONDS``, ``throttle=SIZE`` (per second), ``hang[=BYTES]``,
    ``reset[=BYTES]``, ``truncate[=BYTES]``, ``corrupt``, ``chunked``, ``redirect=URL``,
    ``retry-after=SECONDS``, ``Header:value`` (``Header:`` drops it).
    """
    fault = Fault(Match())
    for position, word in enumerate(shlex.split(text)):
        if position == 0 and (word == "*" or (word.isalpha() and word.isupper())):
            fault = replace(fault, match=Match.of(word))
        elif not fault.actions and (match := _narrowed(fault.match, word)) is not None:
            fault = replace(fault, match=match)
        elif word.startswith("times="):
            fault = replace(fault, times=int(_number(word)))
        else:
            fault = _with_action(fault, word)
    if not fault.actions:
        raise ValueError(f"{text!r} does not say what happens: 429, reset=1000, hang, corrupt, ...")
    return fault


def _narrowed(match: Match, word: str) -> Match | None:
    for kind in get_args(Kind):
        if word == kind:
            return replace(match, kind=kind)
    if word.startswith(("/", "*")) or parse_digest(word):
        return replace(match, what=word)
    return None


_ACTIONS: dict[str, Callable[[Fault, str], Fault]] = {
    "delay": lambda fault, word: fault.delay(_number(word)),
    "throttle": lambda fault, word: fault.throttle(parse_size(word.partition("=")[2])),
    "hang": lambda fault, word: fault.hang(_position(word)),
    "reset": lambda fault, word: fault.reset(_position(word)),
    "truncate": lambda fault, word: fault.truncate(_position(word)),
    "corrupt": lambda fault, word: fault.corrupt(),
    "chunked": lambda fault, word: fault.chunked(),
    "redirect": lambda fault, word: fault.redirect(_url(word)),
    "retry-after": lambda fault, word: fault.headers({"Retry-After": str(int(_number(word)))}),
}


def _with_action(fault: Fault, word: str) -> Fault:
    if re.fullmatch(r"[1-5]\d\d", word):
        return fault.status(int(word))
    name = word.partition("=")[0]
    if name in _ACTIONS:
        return _ACTIONS[name](fault, word)
    if header := re.fullmatch(r"([A-Za-z][\w-]*):(.*)", word):
        return fault.headers({header[1]: header[2].strip() or None})
    raise ValueError(
        f"unknown action {word!r}: use 429, {', '.join(_ACTIONS)}, times=N or Header:value"
    )


def _number(word: str) -> float:
    name, _, value = word.partition("=")
    if not re.fullmatch(r"\d+(\.\d+)?", value):
        raise ValueError(f"{name} takes a number, such as {name}=2")
    return float(value)


def _position(word: str) -> int | None:
    return int(_number(word)) if "=" in word else None


def _url(word: str) -> str:
    url = word.partition("=")[2]
    if not url.startswith(("http://", "https://")):
        raise ValueError("redirect takes a URL, such as redirect=http://127.0.0.1:5556")
    return url
