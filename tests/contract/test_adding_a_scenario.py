"""The sample in docs/adding-a-scenario.md works as pasted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def run_sample(directory: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    page = (DOCS / "adding-a-scenario.md").read_text()
    sample = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert sample
    (directory / "test_sample.py").write_text(sample[1])
    options = [f"--target={target}" for target in targets]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", "-pno:xdist", *options],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_sample_holds_on_the_reference(tmp_path: Path) -> None:
    run = run_sample(tmp_path, "reference")
    assert run.returncode == 0, run.stdout
    assert "1 holds" in run.stdout


def test_the_sample_prints_a_deviation_of_2_8(tmp_path: Path) -> None:
    run = run_sample(tmp_path, "reference@2.8")
    assert run.returncode == 1, run.stdout
    assert 'scenario = "sample.head-is-not-a-download"' in run.stdout
