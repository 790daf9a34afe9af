"""Which known release a registry answers like: the one whose listed deviations it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.suite.deviations import DeviationFile, Verdict
from harness.suite.expectation import Finding

__all__ = ["Fingerprint", "likeness"]

IDEAL = ("pullproof", "ideal")
"""Deviates nowhere."""
_ENOUGH = 0.8
"""Of the answers that tell releases apart."""


@dataclass(frozen=True)
class Fingerprint:
    """*agreeing* of *telling* answers are those of each release, the best first."""

    ranks: tuple[tuple[str, int], ...]
    telling: int

    @property
    def best(self) -> str | None:
        """All releases that no other outdoes, or None where none comes near enough."""
        if not self.ranks or self.ranks[0][1] < _ENOUGH * self.telling:
            return None
        return " or ".join(name for name, agreeing in self.ranks if agreeing == self.ranks[0][1])


def likeness(results: Mapping[str, Sequence[Finding]], known: DeviationFile) -> Fingerprint:
    """Of what was found, by scenario key. What all releases do alike tells nothing."""
    releases = {(d.implementation, version) for d in known.deviations for version in d.versions}
    sees_disk = any(one.side == "disk" for findings in results.values() for one in findings)
    agreeing = dict.fromkeys(sorted(releases | {IDEAL}), 0)
    telling = 0
    for key, findings in results.items():
        agree = {
            release
            for release in agreeing
            if known.judge(
                key,
                findings,
                target="",
                implementation=release[0],
                version=release[1],
                sees_disk=sees_disk,
            ).verdict
            is not Verdict.FAILS
        }
        if len(agree) < len(agreeing):
            telling += 1
            for release in agree:
                agreeing[release] += 1
    ranks = sorted(agreeing.items(), key=lambda item: (-item[1], item[0]))
    return Fingerprint(tuple((" ".join(name), number) for name, number in ranks), telling)
