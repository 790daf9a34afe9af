"""A configuration in the course of being read: the mistakes so far, and where each key stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reference_registry.config.problem import Place, Problem
from reference_registry.profiles import Profile

if TYPE_CHECKING:
    from reference_registry.config.section import Section

__all__ = ["Reading", "nearest"]

_EXIT_CODE = 2  # of a strict profile, for every bad configuration


@dataclass
class Reading:
    """A configuration being read: what was found wrong, and where each key stands."""

    profile: Profile
    problems: list[Problem] = field(default_factory=list)
    overlooked: list[Problem] = field(default_factory=list)
    """What a strict profile refuses, and this one takes in silence."""
    places: dict[str, Place] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)

    @property
    def strict(self) -> bool:
        return self.profile.strict_config

    def refuse(
        self, place: Place, key: str, what: str, fix: str = "", *, released: int | None = 1
    ) -> None:
        """A mistake. *released* is what distribution exits with because of it; None where it
        takes the file, so that only a strict profile complains."""
        code = _EXIT_CODE if self.strict else released
        if code is not None:
            self.problems.append(Problem(place, key, what, fix, code))
        else:
            self.overlooked.append(Problem(place, key, what, fix, rule="overlooked"))

    def warn(
        self, place: Place, key: str, what: str, fix: str = "", *, rule: str = "no-effect"
    ) -> None:
        """Something that does not do what one may think, a case of *rule*."""
        self.problems.append(Problem(place, key, what, fix, rule=rule))

    def finish(self) -> None:
        """Report the keys that nobody asked for."""
        for section in self.sections:
            section.report_unknown_keys()


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of *known* that *word* is most likely a slip of."""
    from difflib import get_close_matches  # only where there is a mistake

    by_lower = {name.lower(): name for name in known}
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    found = get_close_matches(plain, by_lower, n=1, cutoff=0.7)
    return by_lower[found[0]] if found else None
