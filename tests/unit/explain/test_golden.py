"""What users see of the mission's files, letter by letter."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from tests.unit.explain.golden import CASES, DIRECTORY, output


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


def test_svg_is_xml() -> None:
    root = ET.fromstring((DIRECTORY / "mirror-down.svg").read_text(encoding="utf-8"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
