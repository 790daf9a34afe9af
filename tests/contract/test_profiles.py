"""The table of releases in ``reference_registry/profiles.py``."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from reference_registry import profiles


def test_every_behaviour_is_used() -> None:
    code = "\n".join(
        path.read_text()
        for path in Path(profiles.__file__).parent.rglob("*.py")
        if path.name != "profiles.py"
    )
    unused = [
        field.name
        for field in fields(profiles.Profile)
        if not re.search(rf"\.{field.name}\b", code)
    ]
    assert unused == []
