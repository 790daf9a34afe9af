"""``divergences.toml``: in what two targets are known to differ, and why that is right.

It stands beside the scenarios, as ``deviations.toml`` does, but says something else: a deviation is
measured against a *claim*, a divergence against another *target*, and in whatever a scenario
happened to show. An entry::

    [[divergence]]
    scenarios = ["blob.range-unsatisfiable"]
    step = "GET /v2/*"
    field = "header content-length"
    targets = ["reference@2.8", "docker-registry"]
    reason = "Debian builds with an old Go, whose ServeContent keeps the header of a 416"
    reference = "golang/go#66343"

``step`` and ``field`` are patterns as of a shell; the order of ``targets`` does not matter. An
entry that explains nothing in a scenario of its list, although that was compared, is stale, and
fails like a divergence that no entry explains. ``by_chance = true`` marks the outcome of a race.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.compare.differential import Divergence

__all__ = [
    "FILE_NAME",
    "Comparison",
    "DivergenceFileError",
    "Known",
    "compared",
    "read_known",
    "stale",
]

FILE_NAME = "divergences.toml"


class DivergenceFileError(Exception):
    """The file cannot be used; the text names the file, the entry and the fix."""


@dataclass(frozen=True)
class Known:
    """One ``[[divergence]]``."""

    scenarios: tuple[str, ...]
    """Keys of scenarios, or patterns of them; an id without its case means all cases."""
    step: str
    field: str
    targets: tuple[str, ...]
    reason: str
    reference: str
    by_chance: bool = False
    """Whether it comes and goes, as the outcome of a race does; such an entry is never stale."""

    def is_about(self, scenario: str, left: str, right: str) -> bool:
        """Whether it speaks of *scenario* on these two targets."""
        names = (scenario, scenario.partition("[")[0])
        of_scenario = any(
            name == pattern or fnmatchcase(name, pattern)
            for pattern in self.scenarios
            for name in names
        )
        return of_scenario and {left, right} == {*self.targets}

    def explains(self, divergence: Divergence, left: str, right: str) -> bool:
        """Whether it is the reason of *divergence*."""
        return (
            self.is_about(divergence.scenario, left, right)
            and fnmatchcase(divergence.step, self.step)
            and fnmatchcase(divergence.field, self.field)
        )


@dataclass(frozen=True)
class Comparison:
    """One scenario on two targets: what differs, and which of it is explained."""

    scenario: str
    left: str
    right: str
    unexplained: tuple[Divergence, ...] = ()
    explained: tuple[tuple[Divergence, Known], ...] = ()

    @property
    def reasons(self) -> frozenset[Known]:
        """The entries that explain something here."""
        return frozenset(reason for _, reason in self.explained)


def compared(
    scenario: str, left: str, right: str, found: Iterable[Divergence], known: Iterable[Known]
) -> Comparison:
    """*found* in *scenario* between the targets *left* and *right*, in the light of *known*."""
    about = [entry for entry in known if entry.is_about(scenario, left, right)]
    unexplained, explained = [], []
    for divergence in found:
        reason = next((one for one in about if one.explains(divergence, left, right)), None)
        if reason is None:
            unexplained.append(divergence)
        else:
            explained.append((divergence, reason))
    return Comparison(scenario, left, right, tuple(unexplained), tuple(explained))


def stale(known: Iterable[Known], comparisons: Sequence[Comparison]) -> list[str]:
    """Entries that explain nothing in a scenario of their list, although it was compared, one line
    each."""
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
            if about and not any(entry in one.reasons for one in about):
                lines.append(
                    f"{scenario}: {FILE_NAME} lists {entry.step}: {entry.field} for "
                    f"{' and '.join(entry.targets)}, but they are alike there; remove it"
                )
    return lines


def read_known(directory: Path) -> tuple[Known, ...]:
    """The entries of the file in *directory*; none where there is no file.
    :class:`DivergenceFileError`."""
    path = directory / FILE_NAME
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DivergenceFileError(f"{path}: {error}; mend the TOML") from error
    tables = document.pop("divergence", [])
    if document:
        raise DivergenceFileError(
            f"{path}: unknown key {next(iter(document))!r}; only [[divergence]] stands here"
        )
    return tuple(_entry(path, table) for table in tables)


def _entry(path: Path, table: Mapping[str, Any]) -> Known:
    wanted = {field.name for field in fields(Known)} - {"by_chance"}
    place = f"{path}: the entry for {table.get('scenarios', '?')}"
    if wrong := wanted.symmetric_difference(table.keys() - {"by_chance"}):
        raise DivergenceFileError(
            f"{place} has missing or unknown keys: {', '.join(sorted(wrong))}; "
            f"it takes {', '.join(sorted(wanted))} and may have by_chance"
        )
    lists = ("scenarios", "targets")
    for name in lists:
        if not isinstance(table[name], list) or not all(isinstance(t, str) for t in table[name]):
            raise DivergenceFileError(f"{place}: {name} must be a list of texts")
    for name in wanted.difference(lists):
        if not isinstance(table[name], str) or not table[name].strip():
            raise DivergenceFileError(f"{place}: {name} must be a text that says something")
    if not isinstance(table.get("by_chance", False), bool):
        raise DivergenceFileError(f"{place}: by_chance must be true or false")
    wide = next((name for name in table["scenarios"] if "*" in name), None)
    if wide is not None and not table.get("by_chance"):
        raise DivergenceFileError(
            f"{place}: {wide} could hide anything; name the scenarios, or say by_chance = true"
        )
    if len(set(table["targets"])) != 2:
        raise DivergenceFileError(f"{place}: targets must name two targets")
    return Known(**{**table, **{name: tuple(table[name]) for name in lists}})
