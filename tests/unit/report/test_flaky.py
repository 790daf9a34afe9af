"""Flaky cells and incomplete runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harness.report.github import annotate
from harness.report.markdown import render_markdown
from tests.unit.report.examples import HOLDS, PREAMBLE, cell, run

FLAKY = """
from pathlib import Path

@scenario("demo.flaky", "The second attempt holds", level=MUST, refs=("spec",))
def test_flaky(target, expect):
    attempts = Path(__file__).with_name("attempts")
    attempts.write_text(attempts.read_text() + "." if attempts.exists() else ".")
    expect.client("attempt", len(attempts.read_text()), PASSES_AT)
"""

HANGS = """
import threading
from concurrent.futures import ThreadPoolExecutor

@scenario("demo.hangs", "A thread hangs", level=MUST, refs=("spec",))
def test_hangs(target, expect):
    with ThreadPoolExecutor() as pool:
        Path("ready").touch()
        pool.submit(threading.Event().wait, 60).result()
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_flaky_cell_is_marked_in_every_report(pytester: pytest.Pytester, workers: str) -> None:
    files = ("--pullproof-json=r.json", "--junitxml=r.xml", "--pullproof-html=r.html")
    ended = run(pytester, FLAKY.replace("PASSES_AT", "2"), *files, "-n", workers)
    assert ended.ret == 0
    problem = "client: attempt: expected 2, but saw 1"
    ended.stdout.fnmatch_lines(
        [
            f"FLAKY demo.flaky (reference@ideal): holds when run again; {problem}",
            "reference@ideal: 1 holds, 1 of them FLAKY",
            "*1 flaky*",
        ]
    )
    document = json.loads((pytester.path / "r.json").read_text())
    found = cell(document, "demo.flaky")
    assert (found["verdict"], found["earlier"]) == ("holds", [problem])
    text = render_markdown(document)
    assert text.startswith("## pullproof: all as expected, 1 FLAKY\n")
    assert f"`demo.flaky on reference@ideal: holds; {problem}`" in text
    (warning,) = annotate(document, root=pytester.path, workspace=pytester.path)
    assert warning.startswith("::warning file=test_demo.py")
    (case,) = ET.parse(pytester.path / "r.xml").iter("testcase")
    kept = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert kept["pullproof.flaky"] == problem
    assert "FLAKY" in (pytester.path / "r.html").read_text()


def test_a_cell_that_fails_twice_fails(pytester: pytest.Pytester) -> None:
    ended = run(pytester, FLAKY.replace("PASSES_AT", "3"))
    ended.assert_outcomes(failed=1)
    assert "FLAKY" not in ended.stdout.str()


def test_retries_can_be_turned_off(pytester: pytest.Pytester) -> None:
    ended = run(pytester, FLAKY.replace("PASSES_AT", "2"), "--pullproof-retry", "0")
    ended.assert_outcomes(failed=1)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_interrupted_run_is_incomplete_in_every_report(
    pytester: pytest.Pytester, workers: str
) -> None:
    place = pytester.path
    pytester.makepyfile(test_demo=PREAMBLE + HOLDS + FLAKY.replace("PASSES_AT", "1") + HANGS)
    files = ("json", "html", "markdown")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-pno:cacheprovider", "-n", workers, "--junitxml=junit"]
        + [f"--pullproof-{name}={name}" for name in files],
        cwd=place, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "GITHUB_ACTIONS": "true"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (place / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    # Two seconds on a quiet machine; the thread hangs for sixty.
    assert time.monotonic() - began < 20
    assert process.returncode == 2
    assert "INCOMPLETE 2/3: the run ended early" in said
    assert "::error title=INCOMPLETE 2/3::" in said
    assert json.loads((place / "json").read_text())["incomplete"] == {"done": 2, "planned": 3}
    assert (place / "markdown").read_text().startswith("## pullproof: INCOMPLETE 2/3")
    assert '"incomplete":{"done":2,"planned":3}' in (place / "html").read_text()
    errors = [one.text for one in ET.parse(place / "junit").iter("error")]
    # The worker is interrupted too, and may have reported how its scenario ended.
    assert errors[-1] == "INCOMPLETE 2/3: the run ended early"
    assert "all as expected" not in (said + (place / "markdown").read_text()).lower()


@pytest.mark.parametrize("when", ["import", "configure"])
def test_a_run_interrupted_during_start_up_is_incomplete(tmp_path: Path, when: str) -> None:
    """A plugin sends SIGINT while pytest loads it, or while pytest configures its plugins."""
    stop = "os.kill(os.getpid(), signal.SIGINT)"
    (tmp_path / "interrupts.py").write_text(
        "import os, signal\n"
        + (stop if when == "import" else f"def pytest_configure(config):\n    {stop}\n")
    )
    files = [f"--{name}={name}" for name in ("json", "html", "markdown", "junit")]
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "harness", "run", *files, "--", "-p", "interrupts"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    # Start-up included; two seconds from the signal on a quiet machine.
    assert time.monotonic() - began < 30
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "INCOMPLETE 0/?" in ended.stderr
    document = json.loads((tmp_path / "json").read_text())
    assert document["incomplete"] == {"done": 0, "planned": 0}
    assert [target["name"] for target in document["targets"]] == ["reference"]
    assert (tmp_path / "markdown").read_text().startswith("## pullproof: INCOMPLETE 0/?")
    assert '"incomplete":{"done":0,"planned":0}' in (tmp_path / "html").read_text()
    (error,) = [one.text for one in ET.parse(tmp_path / "junit").iter("error")]
    assert error == "INCOMPLETE 0/?: the run ended early"


def test_a_run_that_stops_at_the_first_failure_is_incomplete(pytester: pytest.Pytester) -> None:
    page = Path(pytester.path, "page.md")
    source = FLAKY.replace("PASSES_AT", "9") + HOLDS
    ended = run(pytester, source, "-x", f"--pullproof-markdown={page}")
    assert ended.ret == 1
    assert page.read_text().startswith("## pullproof: INCOMPLETE 1/2, 1 failed")
