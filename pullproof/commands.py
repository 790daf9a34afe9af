"""The commands that are installed."""

from __future__ import annotations

import sys

__all__ = ["pullproof", "registry"]


def pullproof() -> None:
    """``pullproof``."""
    from harness.cli import script

    script()


def registry() -> None:
    """``pullproof-registry``."""
    from reference_registry.__main__ import main

    sys.exit(main())
