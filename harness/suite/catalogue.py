"""All scenarios of the suite, found without running pytest."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path

from harness.suite.scenario import MARKER, Scenario
from scenarios import __name__ as suite

__all__ = ["declared", "suite_directory"]


def suite_directory() -> Path:
    """Where the suite lies."""
    (place,) = import_module(suite).__path__
    return Path(place)


@cache
def declared() -> tuple[Scenario, ...]:
    """Every scenario, sorted by id."""
    found = {}
    for module in pkgutil.iter_modules([str(suite_directory())]):
        if module.name.startswith("test_"):
            for member in vars(import_module(f"{suite}.{module.name}")).values():
                for mark in getattr(member, "pytestmark", ()):
                    if mark.name == MARKER:
                        found[mark.args[0].id] = mark.args[0]
    return tuple(found[key] for key in sorted(found))
