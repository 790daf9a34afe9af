"""The commands of ``pullproof-registry``, a module each.

``__main__`` reads the arguments and imports the one that was asked for, since ``serve`` must be
ready quickly and the others are short. Each returns the exit code; each that reads a configuration
raises :class:`reference_registry.config.problem.ConfigError` where it cannot be used.
"""

from __future__ import annotations

__all__ = ["MISUSE", "PROGRAM", "Misuse"]

PROGRAM = "pullproof-registry"
MISUSE = 2
"""Exit code where the arguments make no sense, or the configuration does not to ``ideal``."""


class Misuse(Exception):
    """Arguments that make no sense. A release says so and exits with 0."""

    def __init__(self, message: str, exit_code: int = MISUSE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
