"""What a scenario is: a claim about a cache, and the marker that ties it to a test function.

::

    @scenario(
        "push.upload-refused",
        "A proxy opens no upload session",
        level=Level.MUST,
        refs=("distribution docs: Registry as a pull through cache", "d#3424"),
    )
    def test_upload_refused(upstream, target, expect): ...

The id is stable: deviations, differences and reports refer to it. Its first part is the theme.
A file of one theme sets defaults once, and its scenarios write only what differs::

    scenario = theme("push", level=Level.MUST, refs=("d#3424",))

    @scenario("upload-refused", "A proxy opens no upload session")
    def test_upload_refused(upstream, target, expect): ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypedDict, TypeVar, Unpack

import pytest

from harness.system.needs import Need

__all__ = ["INFO", "MARKER", "MUST", "SHOULD", "Level", "Need", "Scenario", "scenario", "theme"]

MARKER = "pullproof_scenario"
"""The pytest marker that carries a :class:`Scenario`."""

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)+")

Test = TypeVar("Test", bound=Callable[..., None])


class Level(Enum):
    """How binding a claim is."""

    MUST = "MUST"
    """The OCI distribution-spec or the HTTP standard demands it."""
    SHOULD = "SHOULD"
    """A good cache does it; its users are hurt where it does not."""
    INFO = "INFO"
    """Neither right nor wrong, but something an operator has to know."""


MUST, SHOULD, INFO = Level.MUST, Level.SHOULD, Level.INFO


@dataclass(frozen=True)
class Scenario:
    """One claim. ``refs`` are issue numbers (``d#N`` is distribution/distribution), spec sections
    or documentation pages that the claim comes from."""

    id: str
    claim: str
    level: Level
    refs: tuple[str, ...]
    needs: frozenset[Need]
    why: str = ""
    """The test function's docstring: why it matters."""

    @property
    def theme(self) -> str:
        """The part of the id before the first dot."""
        return self.id.partition(".")[0]


def scenario(
    scenario_id: str,
    claim: str,
    *,
    level: Level,
    refs: Iterable[str],
    needs: Iterable[Need] = (Need.CONFIG,),
) -> Callable[[Test], Test]:
    """Declare a test function to be the proof of *claim*.

    ``ValueError`` where the id is not of the form ``theme.some-words`` or *refs* is empty: a claim
    without a source is an opinion.
    """
    if not _ID.fullmatch(scenario_id):
        raise ValueError(f"scenario id {scenario_id!r} is not of the form theme.some-words")
    references = tuple(refs)
    if not references:
        raise ValueError(f"scenario {scenario_id} names no reference")

    def declare(test: Test) -> Test:
        declared = Scenario(
            scenario_id,
            claim,
            level,
            references,
            frozenset(needs),
            " ".join((test.__doc__ or "").split()),
        )
        marked: Test = getattr(pytest.mark, MARKER)(declared)(test)
        return marked

    return declare


class Defaults(TypedDict, total=False):
    """What a scenario may say instead of its file."""

    level: Level
    refs: Iterable[str]
    needs: Iterable[Need]


@dataclass(frozen=True)
class Theme:
    """:func:`scenario` for a file of one theme: ids without *name*, and these defaults."""

    name: str
    level: Level = SHOULD
    refs: Iterable[str] = ()
    needs: Iterable[Need] = (Need.CONFIG,)

    def __call__(self, name: str, claim: str, **own: Unpack[Defaults]) -> Callable[[Test], Test]:
        given: Defaults = {"level": self.level, "refs": self.refs, "needs": self.needs, **own}
        return scenario(f"{self.name}.{name}", claim, **given)


theme = Theme
