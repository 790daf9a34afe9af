"""What goes wrong in a benchmark."""

from __future__ import annotations

__all__ = ["CannotMeasure"]


class CannotMeasure(Exception):
    """A figure cannot be had; the text, one short line, goes into its cell."""
