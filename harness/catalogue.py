"""All scenarios of the suite, found without running pytest."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path

from harness.scenario import MARKER, Scenario

__all__ = ["SUITE", "declared", "suite_directory"]

SUITE = "scenarios"
"""The package that holds the suite, in a clone and in an installed wheel alike."""


def suite_directory() -> Path:
    """Where the suite lies."""
    (place,) = import_module(SUITE).__path__
    return Path(place)


@cache
def declared() -> tuple[Scenario, ...]:
    """Every scenario, sorted by id."""
    found = {}
    for module in pkgutil.iter_modules([str(suite_directory())]):
        if module.name.startswith("test_"):
            for member in vars(import_module(f"{SUITE}.{module.name}")).values():
                for mark in getattr(member, "pytestmark", ()):
                    if mark.name == MARKER:
                        found[mark.args[0].id] = mark.args[0]
    return tuple(found[key] for key in sorted(found))
