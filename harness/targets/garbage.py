"""What one run of ``garbage-collect`` said, as sets.

The lines are distribution's (``registry/storage/garbagecollect.go``); their order follows a Go map,
so that only sets can be compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

__all__ = ["GcRun"]

_MARKED = re.compile(r"\S+: marking (?:manifest|blob) (\S+) ?")
_BLOB = re.compile(r"blob eligible for deletion: (\S+)")
_LAYER_LINK = re.compile(r"(\S+): layer link eligible for deletion: (\S+)")
# 2.8 prints the digest; 3.x prints a Go struct: {<repository> <digest> [<tags>]}.
_MANIFEST = re.compile(r"manifest eligible for deletion: (?:\{\S* )?(\w+:\w+).*")
_SUMMARY = re.compile(r"\d+ blobs marked, \d+ blobs and \d+ manifests eligible for deletion")
_REPOSITORY = re.compile(r"[^\s:]+")


@dataclass(frozen=True)
class GcRun:
    """Exit code and output of a run, and what its lines mean."""

    exit_code: int
    stdout: str
    stderr: str

    @cached_property
    def repositories(self) -> set[str]:
        """The repositories it looked at."""
        return {match[0] for match in self._matches(_REPOSITORY)}

    @cached_property
    def marked(self) -> set[str]:
        """The digests of the manifests and blobs that stay."""
        return {match[1] for match in self._matches(_MARKED)}

    @cached_property
    def eligible_blobs(self) -> set[str]:
        """The digests whose bytes go."""
        return {match[1] for match in self._matches(_BLOB)}

    @cached_property
    def eligible_manifests(self) -> set[str]:
        """The digests of untagged manifests that go (``--delete-untagged`` only)."""
        return {match[1] for match in self._matches(_MANIFEST)}

    @cached_property
    def eligible_layer_links(self) -> set[tuple[str, str]]:
        """Repository and digest of the layer links that go (3.0.0 and later)."""
        return {(match[1], match[2]) for match in self._matches(_LAYER_LINK)}

    @cached_property
    def summary(self) -> str | None:
        """The line with the counts, or None where the run failed before it."""
        return next((match[0] for match in self._matches(_SUMMARY)), None)

    def _matches(self, pattern: re.Pattern[str]) -> list[re.Match[str]]:
        return [m for line in self.stdout.split("\n") if (m := pattern.fullmatch(line))]
