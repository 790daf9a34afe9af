"""What a run has observed: compared with its baseline, and written to recordings.

Workers of pytest-xdist send each observation to the controller, which holds an :class:`Observed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.compare.divergences import Comparison, Known, compared, divergences, read_known, stale
from harness.compare.observation import Observation
from harness.suite.deviations import Verdict
from harness.suite.recording import Recorded, Recording
from harness.suite.results import Result
from harness.suite.scenario import Need

if TYPE_CHECKING:
    from harness.targets import Target


@dataclass(frozen=True)
class Observed:
    """One scenario on one target."""

    key: str
    target: str
    fingerprint: str
    directory: Path
    """Where the scenario's file and ``divergences.toml`` are."""
    observation: Observation
    applies: bool = True
    """False if the scenario needs more than the target offers."""


class Differential:
    """Each target of a run against its *baseline*."""

    def __init__(
        self, observed: Sequence[Observed], targets: Sequence[Target], baseline: Target
    ) -> None:
        self.baseline = baseline
        self._observed = {(one.key, one.target): one for one in observed}
        self._targets = [target for target in targets if target is not baseline]

    @cached_property
    def known(self) -> tuple[Known, ...]:
        """The known divergences. Raises :class:`~harness.compare.data.EntryFileError`."""
        places = sorted({one.directory for one in self._observed.values()})
        return tuple(entry for place in places for entry in read_known(place))

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """One for each scenario that a target and the baseline both ran, by key."""
        return [
            compared(
                key,
                target.known_as,
                self.baseline.known_as,
                divergences(key, *self._comparable(target, one, other)),
                self.known,
            )
            for target in self._targets
            for (key, name), one in sorted(self._observed.items())
            if name == target.name
            and (other := self._observed.get((key, self.baseline.name)))
            and (one.applies and other.applies)
        ]

    def _comparable(
        self, target: Target, one: Observed, other: Observed
    ) -> tuple[Observation, Observation]:
        """What both targets can show: without storage unless both offer it, and without the pings
        that releases of distribution send at startup unless both can be restarted."""
        shown = [one.observation, other.observation]
        offered = target.capabilities & self.baseline.capabilities
        if Need.STORAGE not in offered:
            shown = [replace(seen, disk={}, state={}) for seen in shown]
        if Need.RESTART not in offered:
            shown = [replace(seen, upstream=_without_pings(seen.upstream)) for seen in shown]
        return shown[0], shown[1]

    @cached_property
    def stale(self) -> list[str]:
        """Entries of ``divergences.toml`` that are no longer true, one line each."""
        return stale(self.known, self.comparisons)

    @property
    def is_as_known(self) -> bool:
        """Whether everything that differs is listed, and everything listed differs."""
        return not self.stale and not any(one.unexplained for one in self.comparisons)


def _without_pings(upstream: Mapping[str, int]) -> dict[str, int]:
    return {line: times for line, times in upstream.items() if not line.startswith("GET /v2/ ->")}


def write_recordings(
    observed: Sequence[Observed],
    results: Sequence[Result],
    targets: Sequence[Target],
    directory: Path,
) -> list[Path]:
    """Write what each of *targets* showed to a file of *directory* that is named for it; returns
    the paths. A scenario that failed shows nothing that can be relied on, and is left out.
    ``OSError``."""
    directory.mkdir(parents=True, exist_ok=True)
    seen = {(one.key, one.target): one for one in observed}
    paths = []
    for target in targets:
        recording = Recording(
            target=target.known_as,
            implementation=target.implementation,
            version=target.version,
            release=target.release,
            date=datetime.now(UTC).date().isoformat(),
            scenarios={
                result.key: Recorded(one.fingerprint, result, one.observation)
                for result in results
                if result.target == target.name
                and result.verdict is not Verdict.FAILS
                and (one := seen.get((result.key, target.name)))
            },
        )
        # An image's name, and a URL's place, have slashes.
        path = directory / f"{target.known_as.replace('/', '_')}.json"
        path.write_text(recording.render(), encoding="utf-8")
        paths.append(path)
    return paths
