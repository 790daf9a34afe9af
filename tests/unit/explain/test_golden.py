"""The exact output of the command, and docs/explain.md, which shows it."""

from __future__ import annotations

import json
import re

import pytest

from harness.nodes.explain.when import BEHAVIOURS
from tests.unit.explain.golden import CASES, DIRECTORY, PROJECT, output


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    expected, arguments = CASES[name]
    code, text = output(arguments)
    assert code == expected
    assert text == (DIRECTORY / name).read_text(encoding="utf-8")
    for password in ("testpassword", "passw0rd", "dGVzdHVzZXI6dGVzdHBhc3N3b3Jk"):
        assert password not in text


def test_no_file_is_left_over() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == CASES.keys()


def test_json_is_json_and_versioned() -> None:
    document = json.loads((DIRECTORY / "mirror-down.json").read_text(encoding="utf-8"))
    assert document["pullproof_explain"] == 1
    assert document["outcome"] == "ok"
    assert [host["name"] for host in document["hosts"]] == [
        "192.168.3.121:5000",
        "ccr.ccs.tencentyun.com",
    ]


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
    document = json.loads((DIRECTORY / "mirror-down.json").read_text(encoding="utf-8"))
    keys = set(document)
    for name in ("hosts", "rounds", "remarks"):
        keys |= document[name][0].keys()
    keys |= document["rounds"][0]["requests"][0].keys()
    keys |= document["hosts"][0]["effects"][0].keys()
    missing = {key for key in keys if f"`{key}`" not in PAGE}
    assert not missing
