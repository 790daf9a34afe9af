"""The script says what it needs, and reads what the suite prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.conformance.run_conformance import Counts, SuiteFailed, main

_OUTPUT = """\
OCI Conformance Test: FAIL
  OCI Conformance Test/ping: Pass

OCI Conformance Result: FAIL
  Disabled......................:          2
  Skip..........................:          3
  Pass..........................:        860
  FAIL..........................:          7
  Error.........................:          1
  Total.........................:        873

API conformance:
  Tag listing...................:       FAIL
"""


def test_counts() -> None:
    assert Counts.read(_OUTPUT) == Counts(passed=860, failed=8, skipped=3, disabled=2)


def test_no_result() -> None:
    with pytest.raises(SuiteFailed, match="failed to load config"):
        Counts.read("failed to load config")


def test_without_a_suite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("OCI_CONFORMANCE", raising=False)

    assert main([]) == 2
    assert "OCI_CONFORMANCE" in capsys.readouterr().err
    absent = str(tmp_path / "absent")
    assert main([absent]) == 2
    assert absent in capsys.readouterr().err


def test_a_suite_that_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "suite"
    suite.write_text("#!/bin/sh\necho no such setting\n")
    suite.chmod(0o755)

    assert main([str(suite)]) == 1
    assert "the suite did not run: no such setting" in capsys.readouterr().err
