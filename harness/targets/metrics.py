"""A scrape of Prometheus metrics as numbers by sample."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

__all__ = ["Metrics"]


class Metrics(dict[str, float]):
    """Values by sample as the text format writes it, labels sorted: ``name{a="x",b="y"}``."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.samples = tuple(samples)
        super().__init__((_written(sample), sample.value) for sample in self.samples)

    @classmethod
    def parse(cls, text: str) -> Metrics:
        """Read the text exposition format; ``ValueError`` where *text* is something else."""
        families = text_string_to_metric_families(text)
        return cls(sample for family in families for sample in family.samples)

    def total(self, name: str, **labels: str) -> float:
        """The sum over the samples called *name* that carry all of *labels*; 0 for none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def _written(sample: Sample) -> str:
    labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}}" if labels else sample.name
