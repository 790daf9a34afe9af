"""What a scenario expects, and what it observed.

A scenario checks three sides: the answers to the **client**, the requests to the **upstream**, and
the **disk**. All findings are recorded, and a mismatch does not end the scenario: one run reports
everything that a target does differently, which is what a deviation entry lists.

Expected values are plain values, or a matcher of this module where several outcomes are right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

Side = Literal["client", "upstream", "disk"]


@dataclass(frozen=True)
class Finding:
    """One check: its side, what was checked, and the expected and observed values as data."""

    side: Side
    what: str
    expected: Any
    observed: Any
    holds: bool

    @property
    def key(self) -> str:
        """``side: what``, by which deviations name it; unique within a scenario."""
        return f"{self.side}: {self.what}"


@dataclass(frozen=True)
class Matcher:
    """An expectation that several values satisfy."""

    description: str
    accepts: Callable[[Any], bool]

    def __repr__(self) -> str:
        return self.description


def any_of(*values: Any) -> Matcher:
    """Equal to one of *values*."""
    return Matcher(f"any of {list(values)!r}", lambda seen: seen in values)


def at_least(least: float) -> Matcher:
    """A number not below *least*."""
    return Matcher(f"at least {least}", lambda seen: seen is not None and seen >= least)


def at_most(most: float) -> Matcher:
    """A number not above *most*."""
    return Matcher(f"at most {most}", lambda seen: seen is not None and seen <= most)


def containing(part: Any) -> Matcher:
    """A text with, or a collection of, *part*."""
    return Matcher(f"containing {part!r}", lambda seen: seen is not None and part in seen)


def matching(pattern: str) -> Matcher:
    """A text that the regular expression *pattern* matches as a whole."""
    whole = re.compile(pattern, re.DOTALL)
    return Matcher(
        f"matching {pattern!r}", lambda seen: isinstance(seen, str) and bool(whole.fullmatch(seen))
    )


present = Matcher("present", lambda seen: seen is not None)
"""Any value but None."""


class Expectations:
    """The ``expect`` fixture: records findings, which are judged after the scenario."""

    def __init__(self, *, sees_disk: bool = True) -> None:
        """*sees_disk* is False for a target whose storage cannot be read; expectations about the
        disk are then ignored."""
        self.findings: list[Finding] = []
        self.sees_disk = sees_disk

    def client(self, what: str, observed: Any, expected: Any) -> bool:
        """Check an answer to a client. Returns whether the expectation holds."""
        return self._record("client", what, observed, expected)

    def upstream(self, what: str, observed: Any, expected: Any) -> bool:
        """Check what the upstream received."""
        return self._record("upstream", what, observed, expected)

    def disk(self, what: str, observed: Any, expected: Any) -> bool:
        """Check the storage, the state file, the log or the output of garbage-collect."""
        return not self.sees_disk or self._record("disk", what, observed, expected)

    def _record(self, side: Side, what: str, observed: Any, expected: Any) -> bool:
        if any(f.side == side and f.what == what for f in self.findings):
            # A deviation entry could not distinguish the two.
            raise ValueError(f"this scenario checks {side}: {what} twice; rename the second check")
        if isinstance(expected, Matcher):
            holds, shown = expected.accepts(observed), repr(expected)
        else:
            holds, shown = observed == expected, as_data(expected)
        self.findings.append(Finding(side, what, shown, as_data(observed), holds))
        return holds

    def mismatches(self) -> dict[str, Any]:
        """The findings that do not hold: key to observed value, as a deviation lists them."""
        return {finding.key: finding.observed for finding in self.findings if not finding.holds}


def as_data(value: Any) -> Any:
    """*value* as data for JSON and TOML: sets sorted, tuples as lists, bytes as text or by their
    length, None (which TOML lacks) as ``absent``."""
    match value:
        case None:
            return "absent"
        case bool() | int() | float() | str():
            return value
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return f"<{len(value)} bytes>"
        case Mapping():
            return {str(key): as_data(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted((as_data(item) for item in value), key=repr)
        case PurePath():
            return str(value)
        case Iterable():
            return [as_data(item) for item in value]
        case _:
            return str(value)
