"""Differences between two observations, and ``divergences.toml``, which lists the known ones. Pure.

Client requests are aligned by what they request, so that one additional request does not shift all
that follow. The first difference is reported first: later ones often follow from it.

``divergences.toml`` is beside the scenarios, like ``deviations.toml``. A deviation is relative to
a *claim*, a divergence to another *target*. An entry::

    [[divergence]]
    scenarios = ["blob.range-unsatisfiable"]
    step = "GET /v2/*"
    field = "header content-length"
    targets = ["reference@2.8", "docker-registry"]
    reason = "Debian builds with an old Go, whose ServeContent keeps the header of a 416"
    reference = "golang/go#66343"

``step`` and ``field`` are shell patterns; the order of ``targets`` does not matter. An entry that
explains nothing in a compared scenario of its list is stale, and fails the run like an unexplained
divergence. ``by_chance = true`` marks the outcome of a race.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.compare.data import EntryFileError, entry_from, tables_in
from harness.compare.observation import NOT_SAVED, Observation, Step

_LENGTH = "header content-length"
"""Not reported where the bodies differ, which explains it."""
ABSENT = "absent"
"""The value of a side that lacks what the other side has."""
_AROUND = 100
"""Characters of a long text that are shown before and after what differs."""
_LONGEST = 600
"""Characters of a long text that are shown at most."""


@dataclass(frozen=True)
class Divergence:
    """One field in which two targets differ."""

    scenario: str
    """The scenario's key."""
    step: str
    """The client's request, ``upstream``, ``disk`` or ``state``."""
    field: str
    """Such as ``status``, ``header etag``, ``body``; a request to upstream; a file's path."""
    left: Any
    right: Any
    number: int = 0
    """Which of the client's requests it was, counted from 1; 0 for the other sides."""

    @property
    def place(self) -> str:
        """Where it is, in words."""
        numbered = f"{self.number}. {self.step}" if self.number else self.step
        return f"{numbered}: {self.field}"

    def describe(self, left: str, right: str) -> str:
        """Both sides in a few lines, by the names of the targets."""
        width = max(len(left), len(right))
        return "\n".join(
            (
                f"{self.scenario}: {self.place}",
                f"    {left:{width}}  {self.left}",
                f"    {right:{width}}  {self.right}",
            )
        )


def divergences(scenario: str, left: Observation, right: Observation) -> list[Divergence]:
    """All fields in which *left* and *right* differ: clients' steps in their order, then upstream,
    disk and state."""
    return [
        *_of_steps(scenario, left.steps, right.steps),
        *_of_mappings(scenario, "upstream", left.upstream, right.upstream),
        *_of_mappings(scenario, "disk", left.disk, right.disk),
        # A state file that is not up to date says nothing.
        *(
            ()
            if NOT_SAVED in {*left.state.values(), *right.state.values()}
            else _of_mappings(scenario, "state", left.state, right.state)
        ),
    ]


def _of_steps(
    scenario: str, left: tuple[Step, ...], right: tuple[Step, ...]
) -> Iterator[Divergence]:
    for number, one, other in _aligned(left, right):
        if one is None or other is None:
            only = one or other
            assert only is not None
            outcome = f"{only.status}" if only.error is None else f"{only.error}"
            seen = (outcome, ABSENT) if other is None else (ABSENT, outcome)
            yield Divergence(scenario, only.request, "the request itself", *seen, number)
            continue
        fields, others = one.fields(), other.fields()
        for name in (*fields, *(name for name in others if name not in fields)):
            seen = (fields.get(name, ABSENT), others.get(name, ABSENT))
            follows = name == _LENGTH and fields.get("body") != others.get("body")
            if seen[0] != seen[1] and not follows:
                texts = _text(one, name, seen[0]), _text(other, name, seen[1])
                if texts[0] is not None and texts[1] is not None:
                    seen = _differing(texts[0], texts[1])
                yield Divergence(scenario, one.request, name, *seen, number)


def _text(step: Step, name: str, value: Any) -> str | None:
    """The whole text of a field whose compared *value* may be a placeholder; None where it is not
    known, as in a recording, or not a text."""
    if name in step.whole:
        return step.whole[name]
    return value if isinstance(value, str) and not value.startswith("<") else None


def _differing(left: str, right: str) -> tuple[str, str]:
    """Two texts as they are, or where one is long, the parts around what differs."""
    if max(len(left), len(right)) <= 2 * _AROUND:
        return left, right
    start = _common(left, right)
    shorter = min(len(left), len(right)) - start
    end = min(shorter, _common(left[::-1], right[::-1]))
    return _part(left, start, len(left) - end), _part(right, start, len(right) - end)


def _common(left: str, right: str) -> int:
    """The length of the longest common beginning."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(left), len(right)))


def _part(text: str, start: int, end: int) -> str:
    start, end = max(0, start - _AROUND), min(len(text), end + _AROUND)
    part = text[start:end]
    if len(part) > _LONGEST:
        part = f"{part[: _LONGEST - _AROUND]} … {part[-_AROUND:]}"
    return f"{'… ' if start else ''}{part}{' …' if end < len(text) else ''}"


def _aligned(
    left: tuple[Step, ...], right: tuple[Step, ...]
) -> Iterator[tuple[int, Step | None, Step | None]]:
    """Pairs of steps that ask the same, numbered as on the left; None opposite one that only one
    side has."""
    matcher = SequenceMatcher(
        a=[step.request for step in left], b=[step.request for step in right], autojunk=False
    )
    for kind, begin, end, other_begin, other_end in matcher.get_opcodes():
        if kind == "equal":
            pairs = zip(left[begin:end], right[other_begin:other_end], strict=True)
            for number, (one, other) in enumerate(pairs, begin + 1):
                yield number, one, other
            continue
        for number, one in enumerate(left[begin:end], begin + 1):
            yield number, one, None
        for other in right[other_begin:other_end]:
            yield begin + 1, None, other


def _of_mappings(
    scenario: str, step: str, left: Mapping[str, Any], right: Mapping[str, Any]
) -> Iterable[Divergence]:
    for name in sorted({**left, **right}):
        seen = (left.get(name, ABSENT), right.get(name, ABSENT))
        if seen[0] != seen[1]:
            yield Divergence(scenario, step, name, *seen)


FILE_NAME = "divergences.toml"


@dataclass(frozen=True)
class Known:
    """One ``[[divergence]]``."""

    scenarios: tuple[str, ...]
    """Scenario keys or patterns; an id without a case means all cases."""
    step: str
    field: str
    targets: tuple[str, ...]
    reason: str
    reference: str
    by_chance: bool = False
    """Whether it is the outcome of a race; such an entry cannot be stale."""

    def is_about(self, scenario: str, left: str, right: str) -> bool:
        """Whether the entry applies to *scenario* on these two targets."""
        names = (scenario, scenario.partition("[")[0])
        of_scenario = any(
            name == pattern or fnmatchcase(name, pattern)
            for pattern in self.scenarios
            for name in names
        )
        return of_scenario and {left, right} == {*self.targets}

    def explains(self, divergence: Divergence) -> bool:
        """Whether the entry, which is about the scenario and its targets, explains *divergence*."""
        return fnmatchcase(divergence.step, self.step) and fnmatchcase(divergence.field, self.field)


@dataclass(frozen=True)
class Comparison:
    """One scenario on two targets: what differs, and which of it is explained."""

    scenario: str
    left: str
    right: str
    unexplained: tuple[Divergence, ...] = ()
    explained: tuple[tuple[Divergence, Known], ...] = ()


def compared(
    scenario: str, left: str, right: str, found: Iterable[Divergence], known: Iterable[Known]
) -> Comparison:
    """Splits what was *found* in *scenario* between *left* and *right* by whether *known* explains
    it."""
    about = [entry for entry in known if entry.is_about(scenario, left, right)]
    unexplained, explained = [], []
    for divergence in found:
        reason = next((one for one in about if one.explains(divergence)), None)
        if reason is None:
            unexplained.append(divergence)
        else:
            explained.append((divergence, reason))
    return Comparison(scenario, left, right, tuple(unexplained), tuple(explained))


def stale(known: Iterable[Known], comparisons: Sequence[Comparison]) -> list[str]:
    """Entries that explain nothing in a compared scenario of their list, one line each."""
    lines = []
    for entry in known:
        if entry.by_chance:
            continue
        for scenario in entry.scenarios:
            about = [
                comparison
                for comparison in comparisons
                if scenario in {comparison.scenario, comparison.scenario.partition("[")[0]}
                and {comparison.left, comparison.right} == {*entry.targets}
            ]
            explained = (reason for one in about for _, reason in one.explained)
            if about and entry not in explained:
                lines.append(
                    f"{scenario}: {FILE_NAME} lists {entry.step}: {entry.field} for "
                    f"{' and '.join(entry.targets)}, but they match there; remove it"
                )
    return lines


def read_known(directory: Path) -> tuple[Known, ...]:
    """The entries of the file in *directory*; none if there is no file.
    :class:`EntryFileError`."""
    path = directory / FILE_NAME
    return tuple(_known(path, table) for table in tables_in(path, "divergence"))


def _known(path: Path, table: Mapping[str, Any]) -> Known:
    entry = entry_from(path, table, Known)
    place = f"{path}: entry for {table['scenarios']}"
    for name in ("step", "field", "reason", "reference"):
        if not table[name].strip():
            raise EntryFileError(f"{place}: {name} must be a string that is not empty")
    wide = next((name for name in entry.scenarios if "*" in name), None)
    if wide is not None and not entry.by_chance:
        raise EntryFileError(
            f"{place}: {wide} could hide anything; name the scenarios, or say by_chance = true"
        )
    if len(set(entry.targets)) != 2:
        raise EntryFileError(f"{place}: targets must name two targets")
    return entry
