"""The table of what each release of distribution does: one :func:`row` per observed behaviour.

A test looks at a running registry and returns what it saw. Its row says what that is for each
release, from left to right; a release that is not given, or is :data:`SAME`, does as the one before
it::

    @row("5.10", 500)                      # every release
    @row("6.1", ["HEAD", "GET", "GET"], ["HEAD", "GET"])   # 2.8, and all since 3.0.0-alpha.1
    @row("16.2", 405, 202, SAME, 405)      # otherwise in 3.0.0-alpha.1 and 3.0

Row numbers are those of ``rows.toml``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final, ParamSpec

import pytest

__all__ = ["PROVEN", "RELEASES", "SAME", "like", "row"]

P = ParamSpec("P")

RELEASES: Final = ("2.8", "3.0.0-alpha.1", "3.0", "3.1")
"""The columns of the table; the names of the profiles."""


class _Same:
    def __repr__(self) -> str:
        return "SAME"


SAME: Final = _Same()
"""As the release before."""

PROVEN: dict[str, list[str]] = {}
"""The names of the tests that prove each row, for every release; filled by importing them."""


class like:  # noqa: N801 - stands among plain values
    """Equal to every text that the regular expression *pattern* matches as a whole."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern, re.DOTALL)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self._pattern.fullmatch(other) is not None

    def __hash__(self) -> int:
        raise TypeError("a pattern equals many texts")

    def __repr__(self) -> str:
        return f"like({self._pattern.pattern!r})"


def row(
    number: str, *values: object, slow: bool = False
) -> Callable[[Callable[P, object]], Callable[P, None]]:
    """Turn a function that returns what it observes of ``bench`` into a test of row *number*, or of
    several, as in ``"5.18, 23.1"``.

    *values* are what the releases show. *slow* says that a real registry takes seconds for it (its
    schedule is saved every five): the installed one is then not asked, one that is given by
    ``--profile-binary`` is.
    """
    if not 1 <= len(values) <= len(RELEASES) or values[0] is SAME:
        raise ValueError(f"row {number}: one value for each of {', '.join(RELEASES)}, or fewer")
    expected = _per_release(values)

    def decorate(observe: Callable[P, object]) -> Callable[P, None]:
        for each in number.split(", "):
            PROVEN.setdefault(each, []).append(observe.__name__)

        @functools.wraps(observe)
        def test(*args: P.args, **kwargs: P.kwargs) -> None:
            bench: Any = kwargs["bench"]
            seen = observe(*args, **kwargs)
            wanted = expected[bench.release]
            assert seen == wanted, f"row {number}, {bench.release}: {observe.__name__}"

        marked: Callable[P, None] = pytest.mark.row(number, slow=slow)(test)
        return marked

    return decorate


def _per_release(values: tuple[object, ...]) -> dict[str, object]:
    found: dict[str, object] = {}
    current: object = None
    for index, release in enumerate(RELEASES):
        if index < len(values) and values[index] is not SAME:
            current = values[index]
        found[release] = current
    return found
