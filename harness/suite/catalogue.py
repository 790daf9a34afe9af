"""The scenarios of the suite, found without running pytest, and the choice of some of them."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from harness.suite.scenario import MARKER, Level, Need, Scenario

T = TypeVar("T", bound=Enum)


@dataclass(frozen=True)
class Selection:
    """Which scenarios to run. An empty field allows all; a scenario has to satisfy every field."""

    ids: tuple[str, ...] = ()
    """Shell patterns; one has to match."""
    themes: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()
    needs: tuple[Need, ...] = ()
    """The scenario has all of these needs."""

    @classmethod
    def of(
        cls,
        ids: Iterable[str] = (),
        themes: Iterable[str] = (),
        levels: Iterable[str] = (),
        needs: Iterable[str] = (),
    ) -> Selection:
        """From words of the command line, in any case. ``ValueError`` for an unknown level or need.
        Ids and themes are not checked: see :meth:`check`."""
        return cls(
            tuple(ids),
            tuple(themes),
            tuple(_member(Level, "level", word) for word in levels),
            tuple(_member(Need, "need", word) for word in needs),
        )

    def check(self, scenarios: Iterable[Scenario]) -> None:
        """Raise ``ValueError`` where an id or theme matches none of *scenarios*. The text suggests
        the closest one."""
        known = {scenario.id: scenario.theme for scenario in scenarios}
        for pattern in self.ids:
            if not any(fnmatchcase(name, pattern) for name in known):
                raise ValueError(_unknown("scenario", pattern, known))
        for theme in self.themes:
            if theme not in known.values():
                raise ValueError(_unknown("theme", theme, set(known.values())))

    def chooses(self, scenario: Scenario) -> bool:
        """Whether *scenario* is to run."""
        return (
            (not self.ids or any(fnmatchcase(scenario.id, pattern) for pattern in self.ids))
            and (not self.themes or scenario.theme in self.themes)
            and (not self.levels or scenario.level in self.levels)
            and scenario.needs.issuperset(self.needs)
        )


def _member(kind: type[T], what: str, word: str) -> T:
    known = {member.name.lower().replace("_", "-"): member for member in kind}
    found = known.get(word.lower().replace("_", "-"))
    if found is None:
        raise ValueError(_unknown(what, word, known))
    return found


def _unknown(what: str, word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    # A key such as range.of-a-hit[open] is a scenario's id with a case; all cases run together.
    close = get_close_matches(word.lower().partition("[")[0], names, n=1, cutoff=0.5)
    if close:
        return f"unknown {what} {word!r}; did you mean {close[0]!r}?"
    listed = "see pullproof list" if len(names) > 40 else f"known: {', '.join(names) or 'none'}"
    return f"unknown {what} {word!r}; {listed}"


def suite_directory() -> Path:
    """The directory of the scenario files."""
    from scenarios import __path__ as places  # most pytest runs with our plugin never need it

    (place,) = places
    return Path(place)


@cache
def declared() -> tuple[Scenario, ...]:
    """Every scenario, sorted by id."""
    from scenarios import __name__ as suite

    found = {}
    for module in pkgutil.iter_modules([str(suite_directory())]):
        if module.name.startswith("test_"):
            for member in vars(import_module(f"{suite}.{module.name}")).values():
                for mark in getattr(member, "pytestmark", ()):
                    if mark.name == MARKER:
                        found[mark.args[0].id] = mark.args[0]
    return tuple(found[key] for key in sorted(found))
