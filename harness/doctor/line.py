"""One answer of the doctor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Line"]


@dataclass(frozen=True)
class Line:
    """``id`` is stable. Where ``answer`` is None there was none to be had, and ``meaning`` says why
    and how it can be. ``evidence`` are requests with their answers."""

    id: str
    question: str
    answer: str | None
    meaning: str
    evidence: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
