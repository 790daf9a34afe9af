"""``pullproof run`` and ``pullproof compare``, from a clone or an installed package."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import click
import pytest

from harness.cli.common import file_option, format_option, output_option, write_output
from harness.cli.options import AccessOptions, access_options, complete_target, selection_options
from harness.compare.data import from_data
from harness.compare.divergences import Comparison
from harness.report.differences import FORMATS
from harness.report.document import unstarted
from harness.report.options import Wanted
from harness.report.transport import write_unstarted_junit
from harness.suite.catalogue import Selection, suite_directory
from harness.suite.results import Incomplete

_PYTEST_NAMES = {"json_file": "--pullproof-json", "junit": "--junitxml"}
"""pytest's names of options of ``run``; of the others, ``--pullproof-`` and the name."""


_workers_option = click.option(
    "--workers",
    "-n",
    metavar="N",
    help="Number of processes (default: one for each core; with --upstream-at: 0). 0 runs all "
    "scenarios in this process.",
)


@click.command()
@click.option(
    "--target",
    "-t",
    "targets",
    multiple=True,
    metavar="TARGET",
    shell_complete=complete_target,
    help="What to test: reference[@PROFILE], binary:PATH, container:IMAGE, drayage, url:URL or "
    "recording:FILE. Repeatable: each is a column (default: reference).",
)
@click.option(
    "--baseline",
    metavar="TARGET",
    shell_complete=complete_target,
    help="Compare everything with what TARGET shows.",
)
@file_option("--record", metavar="DIR", text="Record all that each target shows in a file in DIR.")
@selection_options
@access_options
@file_option("--json", "json_file", text="Write the results as JSON.")
@file_option("--html", text="Write a report for a browser, one file.")
@file_option("--markdown", text="Write a summary as Markdown.")
@file_option("--junit", text="Write JUnit XML.")
@_workers_option
@click.option(
    "--retry",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="Run a failed scenario up to N times more; if it then passes, it is marked FLAKY.",
)
@click.option(
    "--slowest", type=click.IntRange(0), default=0, metavar="N", help="List the slowest scenarios."
)
@click.option("--exitfirst", "-x", is_flag=True, help="Stop at the first failure.")
@click.option("--verbose", "-v", is_flag=True, help="Print each scenario and the whole matrix.")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    targets: tuple[str, ...],
    chosen: Selection,
    access: AccessOptions,
    workers: str | None,
    exitfirst: bool,
    verbose: bool,
    pytest_arguments: tuple[str, ...],
    **passed_on: object,
) -> int:
    """Run the scenarios on each target; print totals, failures and known deviations.

    Arguments after -- are passed to pytest.

    \b
    Examples:
      pullproof run
      pullproof run -t reference@2.8 -t binary:docker-registry --html report.html
      pullproof run -t url:http://127.0.0.1:5000 --upstream-at 127.0.0.1:5001
      pullproof run -t url:https://registry.example --allow-writes --login @FILE
      pullproof run -t reference -t recording:before.json --theme ttl -v

    Exit codes: 0 all as expected: every claim holds, deviates as listed, or does not apply. 1 a
    scenario failed, two targets of one release do not match, or a difference from the baseline is
    unexplained. 2 misuse, a target that is not available, nothing to run, or an interrupted run.
    """
    arguments = [
        *access.arguments,
        *(
            f"{_PYTEST_NAMES.get(name, f'--pullproof-{name}')}={value}"
            for name, value in passed_on.items()
            if value is not None
        ),
        "--pullproof-progress",
        *(["-x"] if exitfirst else []),
        "-v" if verbose else "-q",
        *pytest_arguments,
    ]
    return _run_suite(targets, chosen, workers or access.workers, arguments)


def _run_suite(
    targets: Iterable[str], chosen: Selection, workers: str, arguments: Sequence[str]
) -> int:
    """Run the suite in this process and return 0, 1 or 2.

    Settings of the current directory, such as a ``pytest.ini``, have no effect. Raises
    ``KeyboardInterrupt`` if the run is interrupted before pytest has started.
    """

    class Startup:
        """Notes Ctrl-C before the session starts; later, the plugin reports an interrupted run."""

        is_over = interrupted = False

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionstart(self) -> None:
            self.is_over = True

        def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
            by_user = isinstance(excinfo.value, KeyboardInterrupt)  # or else by pytest.exit
            self.interrupted = by_user and not self.is_over

    startup = Startup()
    suite = suite_directory()
    code = pytest.main(
        [
            f"--config-file={os.devnull}",
            f"--rootdir={suite.parent}",
            "-pno:cacheprovider",
            # This module was imported before pytest could rewrite its assertions.
            "-Wignore::pytest.PytestAssertRewriteWarning",
            *(argument for target in targets for argument in ("--pullproof-target", target)),
            *(f"--pullproof-scenario={pattern}" for pattern in chosen.ids),
            *(f"--pullproof-theme={theme}" for theme in chosen.themes),
            *(f"--pullproof-level={level.name}" for level in chosen.levels),
            *(f"--pullproof-need={need.name}" for need in chosen.needs),
            *(["-n", workers] if workers != "0" else []),
            *arguments,
            str(suite),
        ],
        plugins=[startup],
    )
    if startup.interrupted:
        raise KeyboardInterrupt
    return int(code) if code in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} else 2


def results_of(
    targets: Iterable[str],
    chosen: Selection,
    workers: str,
    arguments: Sequence[str],
    output: TextIO,
) -> Any:
    """Run the suite with *output* in place of standard output, and return the document of results;
    None if there is none, such as for a target that is not available."""
    with TemporaryDirectory(prefix="pullproof-") as scratch, redirect_stdout(output):
        file = Path(scratch) / "results.json"
        options = ["-q", "--no-summary", f"--pullproof-json={file}", *arguments]
        _run_suite(targets, chosen, workers, options)
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def write_unstarted(arguments: Sequence[str]) -> int:
    """Report a run with these *arguments* that Ctrl-C ended before pytest started, in each form
    that they ask for. Returns the exit code."""
    click.echo(f"{Incomplete(0, 0)}: interrupted before the first test", err=True)
    given = run.make_context("pullproof run", list(arguments)).params
    wanted = Wanted(given["json_file"], given["html"], given["markdown"])
    try:
        for path in wanted.write(lambda: unstarted(given["targets"] or ("reference",))):
            click.echo(f"written to {path}", err=True)
        if given["junit"] is not None:
            write_unstarted_junit(given["junit"])
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    return 2


@click.command()
@click.argument("target", shell_complete=complete_target)
@click.argument("baseline", shell_complete=complete_target)
@selection_options
@access_options
@format_option("text", "markdown", "html", "json")
@output_option
@_workers_option
def compare(
    target: str,
    baseline: str,
    chosen: Selection,
    access: AccessOptions,
    form: str,
    output: Path | None,
    workers: str | None,
) -> int:
    """Compare all that TARGET and BASELINE show: each answer, each request to upstream, each file.

    Finds differences that no scenario covers. Whether claims hold does not matter.

    \b
    Examples:
      pullproof compare reference@2.8 binary:docker-registry
      pullproof compare recording:before.json recording:after.json --format markdown
      pullproof compare reference@3.0 reference@3.1 --theme tags

    Exit codes: 0 no unexplained difference. 1 a difference that divergences.toml does not explain,
    or a stale entry there. 2 misuse, a target that is not available, or an interrupted run.
    """
    click.echo(f"comparing {target} with {baseline} ...", err=True)
    options = [f"--pullproof-baseline={baseline}", "--pullproof-no-traces", "--pullproof-retry=0"]
    arguments = [*options, *access.arguments]
    document = results_of([target], chosen, workers or access.workers, arguments, sys.stderr)
    if document is None or document["incomplete"]:
        return 2  # The output says why.
    found = document["differential"]
    write_output(_rendered(found, form), output)
    differs = any(one["unexplained"] for one in found["comparisons"])
    return 1 if differs or found["stale"] else 0


def _rendered(found: Any, form: str) -> str:
    if form == "json":
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    comparisons = [from_data(Comparison, one) for one in found["comparisons"]]
    return FORMATS[form](comparisons, found["stale"])
