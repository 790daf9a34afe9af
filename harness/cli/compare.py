"""``pullproof compare``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from harness.cli.options import Approach, approaching, choosing, selection
from harness.cli.run import run_suite
from harness.suite.catalogue import Selection

__all__ = ["compare"]


@click.command()
@click.argument("target")
@click.argument("baseline")
@choosing
@approaching
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "html", "json"]),
    default="text",
    help="How to tell the differences (default: text).",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to (default: standard output).",
)
@click.option("--workers", "-n", metavar="N", help="As of `pullproof run`.")
def compare(
    target: str,
    baseline: str,
    ids: tuple[str, ...],
    theme: tuple[str, ...],
    level: tuple[str, ...],
    need: tuple[str, ...],
    approach: Approach,
    form: str,
    output: Path | None,
    workers: str | None,
) -> int:
    """Compare everything that TARGET and BASELINE show: each answer, each request to upstream, each
    file. Claims do not matter here, only whether the two differ.

    \b
    pullproof compare reference@2.8 binary:docker-registry
    pullproof compare recording:before.json recording:after.json --format markdown
    """
    chosen = selection(ids, theme, level, need)
    workers = workers or approach.workers
    found = _compared(target, baseline, chosen, workers, approach.arguments)
    if found is None:
        return 2
    text = _told(found, form)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
    differs = any(one["unexplained"] for one in found["comparisons"])
    return 1 if differs or found["stale"] else 0


def _compared(
    target: str, baseline: str, chosen: Selection, workers: str, access: Sequence[str]
) -> Any:
    """The differential of a run on both; None where there was none, which the run has explained."""
    with TemporaryDirectory(prefix="pullproof-") as scratch:
        results = Path(scratch) / "results.json"
        options = [
            "--pullproof-baseline",
            baseline,
            "--pullproof-json",
            str(results),
            "-q",
            "--no-summary",
        ]
        options += ["--pullproof-no-traces", *access]
        click.echo(f"comparing {target} with {baseline} ...", err=True)
        with _muted():
            code = run_suite([target], chosen, workers, options)
        if not results.is_file():
            return None if code else {"comparisons": [], "stale": []}
        return json.loads(results.read_text(encoding="utf-8"))["differential"]


def _muted() -> Any:
    """What pytest prints goes to standard error: standard output is for the comparison."""
    from contextlib import redirect_stdout
    from sys import stderr

    return redirect_stdout(stderr)


def _told(found: Any, form: str) -> str:
    if form == "json":
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    from harness.report.differences import FORMATS, comparison_from_data

    comparisons = [comparison_from_data(one) for one in found["comparisons"]]
    return FORMATS[form](comparisons, found["stale"])
