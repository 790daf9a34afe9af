"""pytest's own ``--junitxml``, with what we add to it."""

import xml.etree.ElementTree as ET

import pytest

from tests.unit.report.examples import DEVIATION, HOLDS, NOT_OFFERED, WRONG, run


@pytest.mark.parametrize("workers", ["0", "2"])
def test_scenarios_have_properties(pytester: pytest.Pytester, workers: str) -> None:
    (pytester.path / "deviations.toml").write_text(DEVIATION)
    path = pytester.path / "junit.xml"
    # Traces and observations are there as well, and must not get into the file.
    others = ("--baseline", "reference", "--pullproof-html", "page.html", "-n", workers)
    source = HOLDS + WRONG + NOT_OFFERED + "\ndef test_ordinary(): pass\n"
    run(pytester, source, "--target", "reference@2.8", *others, f"--junitxml={path}")
    cases = {
        case.get("name", ""): {
            one.get("name"): one.get("value", "") for one in case.iter("property")
        }
        for case in ET.parse(path).iter("testcase")
    }
    assert cases["test_ordinary"] == {}
    assert cases["test_teapot[reference@2.8]"] == {
        "pullproof.scenario": "demo.teapot",
        "pullproof.target": "reference@2.8",
        "pullproof.level": "MUST",
        "pullproof.verdict": "deviates",
        "pullproof.claim": "The API root is a teapot",
        "pullproof.references": "spec",
        "pullproof.deviation": "is no teapot",
        "pullproof.deviation.reference": "RFC 2324",
    }
    assert cases["test_teapot[reference@ideal]"]["pullproof.verdict"] == "fails"
    assert cases["test_base[reference@ideal]"]["pullproof.references"] == "spec; d#1"
    assert cases["test_keys[reference@2.8]"]["pullproof.verdict"] == "n/a"
    assert "keys" in cases["test_keys[reference@2.8]"]["pullproof.reason"]
    values = [value for case in cases.values() for value in case.values()]
    assert max(map(len, values)) < 300
