"""Known deviations of implementations, and the verdict on a scenario.

``deviations.toml`` is beside the scenarios. An entry names a scenario, an implementation and its
release series, says what happens, lists **all** observations that differ from the claim, and gives
a reference::

    [[deviation]]
    scenario = "head.blob-is-not-downloaded"
    implementation = "distribution"
    versions = ["3.0", "3.1"]
    does = "answers HEAD of an uncached blob after downloading it"
    reference = "measured on 3.0.0 and 3.1.1"
    observed = { "upstream: blob bodies" = 1 }

It may have an ``advice``: what an operator can do about it, for reports. If one cause affects
several scenarios, ``cases`` replaces ``scenario`` and ``observed``, and lists the observations of
each::

    [deviation.cases]
    "range.of-a-hit[open]" = { "client: status" = 200 }
    "range.of-a-hit[suffix]" = { "client: status" = 200 }

An implementation may have a file of its own, ``deviations/NAME.toml``.

``[[difference]]`` entries in ``differences.toml`` say where one *build* differs from its release,
such as a registry compiled with an old Go: they name a target and override single observations.

Both are strict: a deviation that is not listed fails, and so does a listed one that no longer
happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from harness.compare.data import EntryFileError, entry_from, tables_in
from harness.suite.expectation import Finding


class Verdict(Enum):
    """The outcome of a scenario on a target."""

    HOLDS = "holds"
    DEVIATES = "deviates"
    FAILS = "fails"
    NOT_APPLICABLE = "n/a"


@dataclass(frozen=True)
class Deviation:
    """One ``[[deviation]]``."""

    scenario: str
    implementation: str
    versions: tuple[str, ...]
    does: str
    reference: str
    observed: Mapping[str, Any]
    advice: str = ""
    """What an operator can do about it, for reports."""

    def concerns(self, scenario: str, implementation: str, version: str) -> bool:
        """Whether the entry applies to *scenario* on that implementation's release series."""
        return (
            self.scenario == scenario
            and self.implementation == implementation
            and version in self.versions
        )


@dataclass(frozen=True)
class Difference:
    """One ``[[difference]]``: on *target*, *what* is observed as *observed*, for *reason*."""

    scenario: str
    target: str
    what: str
    observed: Any
    reason: str


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reasons. ``problems`` is empty unless the verdict is FAILS."""

    verdict: Verdict
    deviation: Deviation | None = None
    problems: tuple[str, ...] = ()
    excused: tuple[str, ...] = ()
    """Keys of the findings that a ``[[difference]]`` of this target overrides."""


@dataclass(frozen=True)
class DeviationFile:
    """All entries of one directory, those of ``differences.toml`` included."""

    deviations: tuple[Deviation, ...] = ()
    differences: tuple[Difference, ...] = ()
    path: Path | None = field(default=None, compare=False)

    @classmethod
    def beside(cls, directory: Path) -> DeviationFile:
        """Those of *directory*; empty where it has none. Raises :class:`EntryFileError`."""
        path, differences = directory / "deviations.toml", directory / "differences.toml"
        deviations = list(_deviations(path))
        for own in sorted((directory / "deviations").glob("*.toml")):
            for entry in _deviations(own):
                if entry.implementation != own.stem:
                    raise EntryFileError(
                        f"{own}: entry for {entry.scenario!r} is about {entry.implementation!r}; "
                        f"this file is for {own.stem} only"
                    )
                deviations.append(entry)
        return cls(
            tuple(deviations),
            tuple(
                entry_from(differences, table, Difference)
                for table in tables_in(differences, "difference")
            ),
            path,
        )

    def judge(
        self,
        scenario: str,
        findings: Sequence[Finding],
        *,
        target: str,
        implementation: str,
        version: str,
        sees_disk: bool = True,
    ) -> Judgement:
        """The verdict on *findings* of *scenario* on *target*. Listed observations of the disk are
        ignored unless the scenario *sees_disk*."""
        listed = self._listed(scenario, implementation, version)
        found = listed.observed if listed else {}
        known = {key: seen for key, seen in found.items() if sees_disk or not _is_disk(key)}
        overridden = {
            one.what: one.observed
            for one in self.differences
            if one.target == target
            and one.scenario in {scenario, scenario.partition("[")[0]}
            and (sees_disk or not _is_disk(one.what))
        }
        problems = _problems(findings, known, overridden)
        holds = all(finding.holds for finding in findings)
        verdict = Verdict.FAILS if problems else Verdict.HOLDS if holds else Verdict.DEVIATES
        return Judgement(verdict, listed, problems, tuple(sorted(overridden)))

    def _listed(self, key: str, implementation: str, version: str) -> Deviation | None:
        """The entry for this case, or else for the scenario with all its cases."""
        for scenario in (key, key.partition("[")[0]):
            entries = [d for d in self.deviations if d.concerns(scenario, implementation, version)]
            if len(entries) > 1:
                raise EntryFileError(
                    f"{self.path}: {scenario} has {len(entries)} entries for {implementation} "
                    f"{version}; merge them, since one entry must list all observations"
                )
            if entries:
                return entries[0]
        return None


def _is_disk(key: str) -> bool:
    return key.startswith("disk: ")


def _problems(
    findings: Sequence[Finding], known: Mapping[str, Any], overridden: Mapping[str, Any]
) -> tuple[str, ...]:
    """Where findings disagree with the claim and with the lists, one line each.

    *known* is the deviation's list; *overridden*, from the differences of this target, replaces it
    and may also list findings that are as the claim says.
    """
    listed = {**known, **overridden}
    lines = []
    for finding in findings:
        key, seen = finding.key, finding.observed
        if key not in listed:
            if not finding.holds:
                lines.append(f"{key}: expected {finding.expected!r}, but saw {seen!r}")
        elif finding.holds and key not in overridden:
            lines.append(f"{key}: listed as a deviation, but saw {seen!r} as the claim says")
        elif seen != listed[key]:
            lines.append(f"{key}: listed as {listed[key]!r}, but saw {seen!r}")
    checked = {finding.key for finding in findings}
    lines.extend(
        f"{key}: listed, but this scenario does not check it" for key in listed.keys() - checked
    )
    return tuple(sorted(lines))


def _deviations(path: Path) -> Iterator[Deviation]:
    """The entries of the file at *path*, one for each scenario."""
    for table in tables_in(path, "deviation"):
        cases = table.get("cases")
        if cases is None:
            yield entry_from(path, table, Deviation)
            continue
        shared = {key: value for key, value in table.items() if key != "cases"}
        if twice := shared.keys() & {"scenario", "observed"}:
            raise EntryFileError(
                f"{path}: entry with cases also has {min(twice)!r}, which belongs in each case"
            )
        if not isinstance(cases, Mapping) or not cases:
            raise EntryFileError(
                f"{path}: cases {cases!r} is not a table of observations by scenario"
            )
        for scenario, observed in cases.items():
            entry = {**shared, "scenario": scenario, "observed": observed}
            yield entry_from(path, entry, Deviation)


def suggest_entry(
    scenario: str, implementation: str, version: str, mismatches: Mapping[str, Any]
) -> str:
    """A ``[[deviation]]`` that lists *mismatches* (finding key to observed value); the user adds
    what it does and a reference."""
    import tomlkit  # only a failure needs it

    observed = tomlkit.inline_table()
    observed.update(mismatches)
    entry = {
        "scenario": scenario,
        "implementation": implementation,
        "versions": [version],
        "does": "",
        "reference": "",
        "observed": observed,
    }
    return tomlkit.dumps({"deviation": [entry]}).rstrip()
