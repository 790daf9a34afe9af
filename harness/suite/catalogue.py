"""All scenarios of the suite, found without running pytest."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from harness.suite.scenario import MARKER, Level, Need, Scenario

__all__ = ["Selection", "declared", "suite_directory"]

T = TypeVar("T", bound=Enum)


@dataclass(frozen=True)
class Selection:
    """What is wanted; nothing in a field means anything. Several fields must all be met."""

    ids: tuple[str, ...] = ()
    """Patterns as of a shell."""
    themes: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()
    needs: tuple[Need, ...] = ()
    """The scenario has all of them."""

    @classmethod
    def of(
        cls,
        ids: Iterable[str] = (),
        themes: Iterable[str] = (),
        levels: Iterable[str] = (),
        needs: Iterable[str] = (),
    ) -> Selection:
        """From words of the command line, in which case does not matter. ``ValueError`` names the
        first that is no level or need."""
        return cls(
            tuple(ids),
            tuple(themes),
            tuple(_member(Level, "level", word) for word in levels),
            tuple(_member(Need, "need", word.replace("-", "_")) for word in needs),
        )

    def chooses(self, scenario: Scenario) -> bool:
        """Whether *scenario* is wanted."""
        return (
            (not self.ids or any(fnmatchcase(scenario.id, pattern) for pattern in self.ids))
            and (not self.themes or scenario.theme in self.themes)
            and (not self.levels or scenario.level in self.levels)
            and scenario.needs.issuperset(self.needs)
        )


def _member(kind: type[T], what: str, word: str) -> T:
    try:
        return kind[word.upper()]
    except KeyError:
        known = ", ".join(member.name.lower().replace("_", "-") for member in kind)
        raise ValueError(f"{word!r} is no {what}; known are {known}") from None


def suite_directory() -> Path:
    """The directory of the scenario files."""
    from scenarios import __path__ as path  # not at the top: most pytest runs do not need it

    (place,) = path
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
