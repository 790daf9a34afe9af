"""``pullproof run`` and ``pullproof compare``, from a clone or an installed package."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from sys import stderr
from tempfile import TemporaryDirectory
from typing import Any

import click

from harness.cli.choice import Choice
from harness.cli.options import (
    AccessOptions,
    access_options,
    complete_target,
    selection_options,
)
from harness.suite.catalogue import Selection
from harness.suite.results import Incomplete

__all__ = ["compare", "run", "run_suite"]

_FILE = click.Path(dir_okay=False, path_type=Path)
_PYTEST_NAMES = {"json_file": "--pullproof-json", "junit": "--junitxml"}
"""pytest's names of options of ``run``; of the others, ``--pullproof-`` and the name."""


class _Run(click.Command):
    """Writes the reports of a run that Ctrl-C ends before pytest has started."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            from harness.report.document import unstarted
            from harness.report.options import Wanted
            from harness.report.transport import write_unstarted_junit

            given = ctx.params
            targets = given["targets"] or ("reference",)
            wanted = Wanted(given["json_file"], given["html"], given["markdown"])
            click.echo(f"{Incomplete(0, 0)}: interrupted before the first test", err=True)
            try:
                for path in wanted.write(lambda: unstarted(targets)):
                    click.echo(f"written to {path}", err=True)
                if given["junit"] is not None:
                    write_unstarted_junit(given["junit"])
            except OSError as error:
                raise click.ClickException(f"{error.filename}: {error.strerror}") from error
            return 2


@click.command(cls=_Run)
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
@click.option(
    "--record",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Record all that each target shows in a file in DIR.",
)
@selection_options
@access_options
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write the results as JSON.")
@click.option("--html", type=_FILE, metavar="FILE", help="Write a report for a browser, one file.")
@click.option("--markdown", type=_FILE, metavar="FILE", help="Write a summary as Markdown.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Write JUnit XML.")
@click.option(
    "--workers",
    "-n",
    metavar="N",
    help="Number of processes (default: one for each core; with --upstream-at: 0). 0 runs all "
    "scenarios in this process.",
)
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
    return run_suite(targets, chosen, workers or access.workers, arguments)


def run_suite(
    targets: Iterable[str], chosen: Selection, workers: str, arguments: Sequence[str]
) -> int:
    """Run the suite in this process and return 0, 1 or 2.

    Settings of the current directory, such as a ``pytest.ini``, have no effect. Raises
    ``KeyboardInterrupt`` if the run is interrupted before pytest has started.
    """
    import pytest

    from harness.suite.catalogue import suite_directory

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


@click.command()
@click.argument("target", shell_complete=complete_target)
@click.argument("baseline", shell_complete=complete_target)
@selection_options
@access_options
@click.option(
    "--format",
    "form",
    type=Choice(["text", "markdown", "html", "json"]),
    default="text",
    show_default=True,
    help="Format of the output.",
)
@click.option(
    "--output", "-o", type=_FILE, metavar="FILE", help="Write to FILE (default: standard output)."
)
@click.option("--workers", "-n", metavar="N", help="Number of processes, as for pullproof run.")
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
    found = _compared(target, baseline, chosen, workers or access.workers, access.arguments)
    if found is None:
        return 2
    text = _rendered(found, form)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
    differs = any(one["unexplained"] for one in found["comparisons"])
    return 1 if differs or found["stale"] else 0


def _compared(
    target: str, baseline: str, chosen: Selection, workers: str, access: Sequence[str]
) -> Any:
    """The differential of a run on both targets; None where the run failed or was interrupted,
    which has been reported."""
    with TemporaryDirectory(prefix="pullproof-") as scratch:
        results = Path(scratch) / "results.json"
        options = [f"--pullproof-baseline={baseline}", f"--pullproof-json={results}", "-q"]
        options += ["--no-summary", "--pullproof-no-traces", "--pullproof-retry=0", *access]
        click.echo(f"comparing {target} with {baseline} ...", err=True)
        with redirect_stdout(stderr):  # Standard output is for the comparison.
            code = run_suite([target], chosen, workers, options)
        if not results.is_file():
            return None if code else {"comparisons": [], "stale": []}
        document = json.loads(results.read_text(encoding="utf-8"))
        return None if document["incomplete"] else document["differential"]


def _rendered(found: Any, form: str) -> str:
    if form == "json":
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    from harness.compare.data import from_data
    from harness.compare.divergences import Comparison
    from harness.report.differences import FORMATS

    comparisons = [from_data(Comparison, one) for one in found["comparisons"]]
    return FORMATS[form](comparisons, found["stale"])
