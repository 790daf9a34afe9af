"""Moments as Go writes them into JSON: RFC 3339 with up to nine digits of a second.

``datetime`` knows microseconds only and would change what another registry wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["ZERO", "GoTime"]

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_SECOND = 10**9
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, order=True)
class GoTime:
    """``nanoseconds`` since 1970 in UTC; ``offset`` is how many seconds east of Greenwich it was
    written, which changes only its text."""

    nanoseconds: int
    offset: int = 0

    @classmethod
    def of(cls, moment: datetime) -> GoTime:
        """An aware *moment*."""
        since = moment.astimezone(UTC).replace(tzinfo=None) - _EPOCH
        return cls(since // timedelta(microseconds=1) * 1000)

    @classmethod
    def parse(cls, text: str) -> GoTime:
        """``ValueError`` where *text* is not RFC 3339."""
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise ValueError(f"not RFC 3339: {text!r}")
        *fields, fraction, sign, hours, minutes = match.groups()
        local = datetime(*map(int, fields))  # type: ignore[arg-type]
        offset = 0 if sign is None else (int(hours) * 60 + int(minutes)) * 60
        offset = -offset if sign == "-" else offset
        seconds = (local - _EPOCH) // timedelta(seconds=1) - offset
        return cls(seconds * _SECOND + int((fraction or "0")[:9].ljust(9, "0")), offset)

    def __str__(self) -> str:
        seconds, fraction = divmod(self.nanoseconds, _SECOND)
        text = (_EPOCH + timedelta(seconds=seconds + self.offset)).isoformat()
        if fraction:
            text += f".{fraction:09d}".rstrip("0")
        if not self.offset:
            return text + "Z"
        hours, minutes = divmod(abs(self.offset) // 60, 60)
        return f"{text}{'-' if self.offset < 0 else '+'}{hours:02d}:{minutes:02d}"

    def as_datetime(self) -> datetime:
        """The first microsecond that is not before it, in UTC; the last that ``datetime`` knows
        for what lies beyond."""
        since = timedelta(microseconds=-(-self.nanoseconds // 1000))
        try:
            return (_EPOCH + since).replace(tzinfo=UTC)
        except OverflowError:
            limit = datetime.max if self.nanoseconds > 0 else datetime.min
            return limit.replace(tzinfo=UTC)


ZERO = GoTime.parse("0001-01-01T00:00:00Z")
"""Go's zero time, which a missing ``ExpiryData`` means: long past."""
