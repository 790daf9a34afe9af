"""The result of a run of lint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import Document
from harness.nodes.lint.engine import Outcome
from harness.nodes.lint.finding import LintFinding, Severity

if TYPE_CHECKING:
    from harness.nodes.lint.fix.repair import Repair

__all__ = ["LintReport"]


@dataclass(frozen=True)
class LintReport:
    """``outcome`` is what is left where files were repaired; ``repairs`` are those that were
    written; ``failed`` names files that could not be written, with the reason."""

    documents: Sequence[Document]
    outcome: Outcome
    repairs: Sequence[Repair] = ()
    refusals: Mapping[LintFinding, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def refused(self, finding: LintFinding) -> str:
        """Why its edits were not made; empty if they were, or if --fix did not run."""
        return self.refusals.get(finding, "")

    @property
    def repaired(self) -> int:
        """The number of fixed findings."""
        return sum(len(repair.findings) for repair in self.repairs)

    def count(self, severity: Severity) -> int:
        """The number of findings of a severity."""
        return sum(finding.severity is severity for finding in self.outcome.findings)
