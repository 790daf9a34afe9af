"""docs/explain.md shows what the command prints, and names every behaviour."""

from __future__ import annotations

import re

from harness.nodes.explain.when import BEHAVIOURS
from tests.unit.explain.golden import DIRECTORY, PROJECT

PAGE = (PROJECT / "docs" / "explain.md").read_text(encoding="utf-8")


def test_outputs_are_real() -> None:
    shown = re.findall(r"<!-- (\S+) -->\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert shown
    for name, text in shown:
        assert text == (DIRECTORY / name).read_text(encoding="utf-8"), name


def test_every_behaviour_is_named() -> None:
    for name in BEHAVIOURS:
        assert f"| `{name}` |" in PAGE


def test_every_key_of_the_json_is_named() -> None:
    import json

    document = json.loads((DIRECTORY / "mirror-down.json").read_text(encoding="utf-8"))
    keys = set(document)
    for name in ("hosts", "rounds", "remarks"):
        keys |= document[name][0].keys()
    keys |= document["rounds"][0]["requests"][0].keys()
    keys |= document["hosts"][0]["effects"][0].keys()
    missing = {key for key in keys if f"`{key}`" not in PAGE}
    assert not missing
