"""dockerd's registry-mirrors, once there is a model of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.explain.errors import BadInput
from harness.explain.explanation import Explanation

if TYPE_CHECKING:
    from harness.explain.questions import Asked

__all__ = ["answer_docker"]


def answer_docker(asked: Asked) -> Explanation:
    """Not modelled: raises :class:`BadInput`."""
    raise BadInput(f"what --puller {asked.puller} does is not modelled yet")
