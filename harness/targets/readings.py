"""What a registry prints, as values: a run of ``garbage-collect`` and a scrape of its metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

__all__ = ["GcRun", "Metrics"]

_MARKED = re.compile(r"\S+: marking (?:manifest|blob) (\S+) ?")
_BLOB = re.compile(r"blob eligible for deletion: (\S+)")
# 2.8 prints the digest; 3.x prints a Go struct: {<repository> <digest> [<tags>]}.
_MANIFEST = re.compile(r"manifest eligible for deletion: (?:\{\S* )?(\w+:\w+).*")
_SUMMARY = re.compile(r"\d+ blobs marked, \d+ blobs and \d+ manifests eligible for deletion")
_REPOSITORY = re.compile(r"[^\s:]+")


@dataclass(frozen=True)
class GcRun:
    """Exit code and output of one run of ``garbage-collect``, and its lines as sets.

    The lines are distribution's (``registry/storage/garbagecollect.go``). Their order follows a Go
    map, so only sets can be compared.
    """

    exit_code: int
    stdout: str
    stderr: str

    @cached_property
    def repositories(self) -> set[str]:
        """The repositories it looked at."""
        return self._found(_REPOSITORY, 0)

    @cached_property
    def marked(self) -> set[str]:
        """The digests of the manifests and blobs that stay."""
        return self._found(_MARKED)

    @cached_property
    def eligible_blobs(self) -> set[str]:
        """The digests of the blobs it deletes."""
        return self._found(_BLOB)

    @cached_property
    def eligible_manifests(self) -> set[str]:
        """The digests of the untagged manifests it deletes (``--delete-untagged`` only)."""
        return self._found(_MANIFEST)

    @cached_property
    def summary(self) -> str | None:
        """The line with the counts, or None if the run failed before it."""
        return next(iter(self._found(_SUMMARY, 0)), None)

    def _found(self, pattern: re.Pattern[str], group: int = 1) -> set[str]:
        matches = map(pattern.fullmatch, self.stdout.split("\n"))
        return {match[group] for match in matches if match}


class Metrics(dict[str, float]):
    """Values by sample as the text format writes it, labels sorted: ``name{a="x",b="y"}``."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.samples = tuple(samples)
        super().__init__((_written(sample), sample.value) for sample in self.samples)

    @classmethod
    def parse(cls, text: str) -> Metrics:
        """Read the text exposition format. ``ValueError`` if *text* is something else."""
        families = text_string_to_metric_families(text)
        return cls(sample for family in families for sample in family.samples)

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples called *name* that have all of *labels*; 0 if there are none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def _written(sample: Sample) -> str:
    labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}}" if labels else sample.name
