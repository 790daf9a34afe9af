"""Durations as Go writes them: ``48h``, ``1h30m``, ``1.5s``, ``-5s``.

The grammar is that of Go's ``time.ParseDuration``. Go counts nanoseconds and Python microseconds:
what is not zero is never rounded to zero, because zero often means "never" in a configuration.
"""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = [
    "format_duration",
    "from_nanoseconds",
    "parse_duration",
    "short_duration",
    "suggested_duration",
]

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
    "d": ("h", 24),
    "day": ("h", 24),
    "w": ("h", 168),
    "week": ("h", 168),
    "hr": ("h", 1),
    "hour": ("h", 1),
    "min": ("m", 1),
    "minute": ("m", 1),
    "sec": ("s", 1),
    "second": ("s", 1),
    "h": ("h", 1),
    "m": ("m", 1),
    "s": ("s", 1),
    "ms": ("ms", 1),
}
_MEANT = re.compile(r"(\d{1,9}) *([a-z]*)", re.ASCII)


def from_nanoseconds(nanoseconds: int) -> timedelta:
    """*nanoseconds*, cut to whole microseconds, but at least one where it is not zero.

    Raises ``ValueError`` for what Go's 64-bit duration cannot hold.
    """
    if abs(nanoseconds) > _LARGEST:
        raise ValueError("longer than 292 years")
    microseconds = abs(nanoseconds) // 1000
    if microseconds == 0 and nanoseconds != 0:
        microseconds = 1
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
    """What the writer of *text*, which is no duration, may have meant: ``24h`` for ``1d``,
    ``10s`` for ``10``; None where nothing comes to mind."""
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
    """As one writes it: ``168h``, ``1h30m``, ``10s``."""
    return re.sub(r"(?<=[hm])0[ms]", "", format_duration(duration))


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".")
