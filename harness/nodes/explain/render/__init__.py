"""An :class:`~harness.explain.explanation.Explanation` as text, one module for each form."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from harness.nodes.explain.explanation import Explanation

__all__ = ["FORMATS", "Renderer", "renderer"]

FORMATS = ("json", "markdown", "mermaid", "svg")
"""Those that are text; ``tree`` goes to a terminal."""


class Renderer(Protocol):
    """Writes an explanation down; the text ends with a line feed."""

    def __call__(self, explanation: Explanation) -> str: ...


def renderer(form: str) -> Renderer:
    """The renderer of one of :data:`FORMATS`, imported when asked for."""
    module = import_module(f".{form}_form", __name__)
    return cast("Renderer", module.render)
