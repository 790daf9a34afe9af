"""The pytest plugin, as pytest finds it (entry point ``pytest11``)."""

from __future__ import annotations

import sys
from itertools import takewhile
from pathlib import Path

import pytest

_CLONE = Path(__file__).resolve().parents[1]
"""The directory of the repository, if this is one."""


def _other_harness() -> Path | None:
    """Another project's package of a name that ours has in a clone, which is either shadowed by
    ours or shadows it. A wheel has it below ``pullproof``, where nothing can."""
    if Path(__file__).with_name("harness").is_dir():
        return None
    before_ours = takewhile(lambda place: place != _CLONE, map(_resolved, sys.path))
    packages = (place / "harness" for place in (Path.cwd(), *before_ours) if place != _CLONE)
    return next((found for found in packages if (found / "__init__.py").is_file()), None)


def _resolved(place: str) -> Path:
    return Path(place).resolve()


if other := _other_harness():
    raise pytest.UsageError(
        f"pullproof: {other} has the name of a package in {_CLONE}, which is installed in editable "
        f"mode: install it with 'pip install {_CLONE}', or run pytest with '-p no:pullproof'"
    )

from harness import __name__ as harness  # noqa: E402

pytest_plugins = [f"{harness}.plugin.plugin"]
