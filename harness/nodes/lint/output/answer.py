"""Everything that a run of lint has to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from harness.nodes.lint.documents import Document
from harness.nodes.lint.engine import Outcome
from harness.nodes.lint.finding import Finding, Severity

if TYPE_CHECKING:
    from harness.nodes.lint.fix.repair import Refusal, Repair

__all__ = ["Answer"]


@dataclass(frozen=True)
class Answer:
    """``outcome`` is what is left where files were repaired; ``repairs`` are those that were
    written; ``failed`` names files that could not be written, with the reason."""

    documents: Sequence[Document]
    outcome: Outcome
    repairs: Sequence[Repair] = ()
    refusals: Sequence[Refusal] = ()
    failed: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _refused(self) -> dict[Finding, str]:
        return {refusal.finding: refusal.reason for refusal in self.refusals}

    def refused(self, finding: Finding) -> str:
        """Why its edits were not made; empty where nobody tried, or where they were."""
        return self._refused.get(finding, "")

    @property
    def repaired(self) -> int:
        """How many findings are gone."""
        return sum(len(repair.findings) for repair in self.repairs)

    def count(self, severity: Severity) -> int:
        """How many findings of that severity there are."""
        return sum(finding.severity is severity for finding in self.outcome.findings)
