"""Values as text: durations (``48h``, ``1h30m``, ``-5s``), sizes (``50GB``, ``512MiB``), and
addresses to listen on, as Go's ``net.Listen`` reads them (``:5000``, ``127.0.0.1:0``).

The grammar of durations is that of Go's ``time.ParseDuration``. Go counts nanoseconds and Python
microseconds: a value other than zero is never rounded to zero, because zero often means "never" in
a configuration. Decimal units of size are powers of 1000 and binary ones powers of 1024 (IEC
80000-13); a bare number is refused, because its unit is unknown.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from datetime import timedelta

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # U+00B5, micro sign
    "μs": 10**3,  # U+03BC, Greek letter mu
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_TERM = r"(?:(\d+)(?:\.(\d*))?|\.(\d+))(ns|us|µs|μs|ms|s|m|h)"
_TERMS = re.compile(_TERM, re.ASCII)
_DURATION = re.compile(rf"(?:{_TERM})+", re.ASCII)
_LONGEST = 64  # characters; longer ones are not durations but attempts at something else
_LARGEST = 2**63 - 1  # nanoseconds: Go's int64, about 292 years

_FOREIGN_UNITS = {
    **{unit: (unit, 1) for unit in ("h", "m", "s", "ms")},
    **dict.fromkeys(("d", "day"), ("h", 24)),
    **dict.fromkeys(("w", "week"), ("h", 168)),
    **dict.fromkeys(("hr", "hour"), ("h", 1)),
    **dict.fromkeys(("min", "minute"), ("m", 1)),
    **dict.fromkeys(("sec", "second"), ("s", 1)),
}
_MEANT = re.compile(r"(\d{1,9}) *([a-z]*)", re.ASCII)


def from_nanoseconds(nanoseconds: int) -> timedelta:
    """*nanoseconds*, cut to whole microseconds, but at least one where it is not zero.

    Raises ``ValueError`` for what Go's 64-bit duration cannot hold.
    """
    if abs(nanoseconds) > _LARGEST:
        raise ValueError("longer than 292 years")
    microseconds = max(abs(nanoseconds) // 1000, min(abs(nanoseconds), 1))
    return timedelta(microseconds=microseconds if nanoseconds > 0 else -microseconds)


def parse_duration(text: str) -> timedelta:
    """*text* as Go's ``time.ParseDuration`` reads it; ``ValueError`` where it does not."""
    unsigned = text[1:] if text[:1] in {"+", "-"} else text
    if unsigned == "0":
        return timedelta(0)
    if len(text) > _LONGEST or not _DURATION.fullmatch(unsigned):
        raise ValueError("not a duration")
    nanoseconds = 0
    for whole, part, only_part, unit in _TERMS.findall(unsigned):
        fraction = part or only_part
        digits = int(f"{whole}{fraction}")
        nanoseconds += digits * _NANOSECONDS[unit] // 10 ** len(fraction)
    return from_nanoseconds(-nanoseconds if text.startswith("-") else nanoseconds)


def suggested_duration(text: str) -> str | None:
    """A duration that *text*, which is not one, may stand for: ``24h`` for ``1d``, ``10s`` for
    ``10``; None if unknown."""
    match = _MEANT.fullmatch(text.strip().lower())
    if match is None:
        return None
    number, word = int(match[1]), match[2]
    unit, factor = _FOREIGN_UNITS.get(word) or _FOREIGN_UNITS.get(word.removesuffix("s"), ("", 1))
    if word and not unit:
        return None
    return f"{number * factor}{unit or 's'}"


def format_duration(duration: timedelta) -> str:
    """As Go prints it: ``1h0m0s``, ``10s``, ``1.5s``, ``250ms``, ``0s``."""
    microseconds = duration // timedelta(microseconds=1)
    if microseconds < 0:
        return "-" + format_duration(-duration)
    if 0 < microseconds < 1000:
        return f"{microseconds}µs"
    if 0 < microseconds < 10**6:
        return f"{_decimal(microseconds, 1000)}ms"
    minutes, rest = divmod(microseconds, 60 * 10**6)
    hours, minutes_left = divmod(minutes, 60)
    seconds = f"{_decimal(rest, 10**6)}s"
    if hours:
        return f"{hours}h{minutes_left}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def short_duration(duration: timedelta) -> str:
    """As people write it: ``168h``, ``1h30m``, ``10s``."""
    return re.sub(r"(?<=[hm])0[ms]", "", format_duration(duration))


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".")


# -- sizes --------------------------------------------------------------------------------------
_PREFIXES = "kMGTP"
_UNITS = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate(_PREFIXES, 1)},
    "KB": 1000,
    **{f"{prefix.upper()}iB": 1024**power for power, prefix in enumerate(_PREFIXES, 1)},
}
_SIZE = re.compile(rf"(\d{{1,15}})(?:\.(\d{{1,6}}))? ?({'|'.join(_UNITS)})", re.ASCII)
_MEANT_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgtp]?)(i?)(?:b|byte|bytes)?", re.ASCII)
_LARGEST_SIZE = 2**63 - 1  # bytes: what file systems count in


def parse_size(text: str) -> int:
    """*text* in bytes, rounded down; ``ValueError`` if it is not a size with a unit. ``0`` needs
    none."""
    if text == "0":
        return 0
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("not a size with a unit")
    whole, fraction, unit = match[1], match[2] or "", match[3]
    size = int(int(whole + fraction) * _UNITS[unit] // 10 ** len(fraction))
    if size > _LARGEST_SIZE:
        raise ValueError("larger than any disk")
    return size


def suggested_size(text: str) -> str | None:
    """A size that *text*, which is not one, may stand for: ``50GB`` for ``50g``; None if unknown. A
    bare number may mean anything."""
    match = _MEANT_SIZE.fullmatch(text.strip().lower())
    if match is None or not match[2]:
        return None
    prefix = match[2] if match[2] == "k" and not match[3] else match[2].upper()
    meant = f"{match[1]}{prefix}{match[3]}B"
    return meant if meant != text and int(match[1].partition(".")[0]) < 10**6 else None


def short_size(size: int) -> str:
    """*size* bytes in the largest unit that leaves a whole number, or in GB and the like with one
    digit after the point: ``50GB``, ``512MiB``, ``1.3GB``."""
    exact = [(factor, unit) for unit, factor in _UNITS.items() if size and size % factor == 0]
    factor, unit = max((f, u) for f, u in exact if u != "KB") if exact else (1, "B")
    if size < 1000 or size // factor < 10_000:
        return f"{size // factor}{unit}"
    for power in range(len(_PREFIXES), 0, -1):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f}{_PREFIXES[power - 1]}B"
    return f"{size}B"


# -- addresses ----------------------------------------------------------------------------------
@dataclass(frozen=True)
class ListenAddress:
    """``host`` is empty for "every interface"; ``port`` 0 for "any free one"."""

    host: str
    port: int

    def __str__(self) -> str:
        """``127.0.0.1:5000``, ``[::1]:5000``, ``[::]:5000`` for every interface."""
        host = self.host or "::"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def parse_address(text: str) -> ListenAddress:
    """``[HOST]:PORT``; the port may be a service's name. The empty text is any port of every
    interface. ``ValueError`` says what is wrong."""
    if not text:
        return ListenAddress("", 0)
    if "://" in text:
        raise ValueError("it is a URL, not HOST:PORT")
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("the port is missing" if not text.isdecimal() else "the colon is missing")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets, as in [::1]:5000")
    return ListenAddress(host, _port_number(port))


def _port_number(text: str) -> int:
    if text.isdecimal() and text.isascii() and len(text) <= 5 and int(text) <= 65535:
        return int(text)
    if text.isdecimal():
        raise ValueError(f"port {text} does not exist, the highest is 65535")
    if not text:
        return 0
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not a port") from None


def reachable_host(host: str) -> str:
    """Where to connect to reach a listener on *host*, which may mean every interface."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)
