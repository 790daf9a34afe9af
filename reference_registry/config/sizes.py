"""Sizes as people write them: ``50GB``, ``512MiB``, ``1.5TB``.

Decimal units are powers of 1000 and binary ones powers of 1024 (IEC 80000-13). A bare number is
refused, because nobody knows what the writer counted in.
"""

from __future__ import annotations

import re

__all__ = ["parse_size", "short_size", "suggested_size"]

_PREFIXES = "kMGTP"
_UNITS = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate(_PREFIXES, 1)},
    "KB": 1000,
    **{f"{prefix.upper()}iB": 1024**power for power, prefix in enumerate(_PREFIXES, 1)},
}
_SIZE = re.compile(rf"(\d{{1,15}})(?:\.(\d{{1,6}}))? ?({'|'.join(_UNITS)})", re.ASCII)
_MEANT = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgtp]?)(i?)(?:b|byte|bytes)?", re.ASCII)
_LARGEST = 2**63 - 1  # bytes: what file systems count in


def parse_size(text: str) -> int:
    """*text* in bytes, rounded down; ``ValueError`` where it is no size with a unit. ``0`` needs
    none."""
    if text == "0":
        return 0
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("not a size with a unit")
    whole, fraction, unit = match[1], match[2] or "", match[3]
    size = int(int(whole + fraction) * _UNITS[unit] // 10 ** len(fraction))
    if size > _LARGEST:
        raise ValueError("larger than any disk")
    return size


def suggested_size(text: str) -> str | None:
    """What the writer of *text*, which is no size, may have meant: ``50GB`` for ``50g``; None where
    nothing comes to mind. A bare number may mean anything."""
    match = _MEANT.fullmatch(text.strip().lower())
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
