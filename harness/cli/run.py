"""``pullproof run``: the suite, from a clone or from an installed package alike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from harness.cli.options import Approach, approaching, choosing, selection
from harness.suite.catalogue import Selection

__all__ = ["run", "run_suite"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(context_settings={"ignore_unknown_options": False})
@click.option(
    "--target",
    "-t",
    "targets",
    multiple=True,
    metavar="TARGET",
    help="What to test; repeatable: each is a column. reference[@PROFILE], binary:PATH, "
    "container:IMAGE, drayage, zot (not run here), url:URL or recording:FILE (default: reference).",
)
@click.option("--baseline", metavar="TARGET", help="Compare everything with what TARGET shows.")
@click.option(
    "--record",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep what each target showed in a file in DIR.",
)
@choosing
@approaching
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write the results as JSON.")
@click.option("--html", type=_FILE, metavar="FILE", help="Write a report for a browser, one file.")
@click.option("--markdown", type=_FILE, metavar="FILE", help="Write a summary as Markdown.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Write JUnit XML.")
@click.option(
    "--workers",
    "-n",
    metavar="N",
    help="Processes to spread the scenarios over (default: one for each core, or with "
    "--upstream-at none; 0: none).",
)
@click.option(
    "--slowest",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="List the N slowest scenarios.",
)
@click.option("--exitfirst", "-x", is_flag=True, help="Stop at the first failure.")
@click.option("--verbose", "-v", is_flag=True, help="Name each scenario as it ends.")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    targets: tuple[str, ...],
    baseline: str | None,
    record: Path | None,
    ids: tuple[str, ...],
    theme: tuple[str, ...],
    level: tuple[str, ...],
    need: tuple[str, ...],
    approach: Approach,
    json_file: Path | None,
    html: Path | None,
    markdown: Path | None,
    junit: Path | None,
    workers: str | None,
    slowest: int,
    exitfirst: bool,
    verbose: bool,
    pytest_arguments: tuple[str, ...],
) -> int:
    """Prove how registries behave: run the scenarios on each target and print the matrix.

    What follows -- goes to pytest as it is.

    \b
    pullproof run
    pullproof run -t reference@2.8 -t binary:docker-registry
    pullproof run -t url:http://127.0.0.1:5000 --upstream-at 127.0.0.1:5001
    pullproof run -t url:https://registry.example --allow-writes --login @FILE
    pullproof run -t reference -t recording:before.json --html report.html

    Exit codes: 0 all as expected: every claim holds or deviates as listed, or does not apply. 1 a
    scenario failed, two targets of one release are not alike, or an unexplained difference from the
    baseline. 2 misuse, a target that cannot be had, nothing to run, or a run that was broken off.
    """
    arguments = [
        *_option("--pullproof-baseline", baseline),
        *_option("--pullproof-record", record),
        *approach.arguments,
        *_option("--pullproof-json", json_file),
        *_option("--pullproof-html", html),
        *_option("--pullproof-markdown", markdown),
        *_option("--junitxml", junit),
        *_option("--pullproof-slowest", slowest),
        "--pullproof-progress",
        *(["-x"] if exitfirst else []),
        "-v" if verbose else "-q",
        *pytest_arguments,
    ]
    chosen = selection(ids, theme, level, need)
    return run_suite(targets, chosen, workers or approach.workers, arguments)


def run_suite(
    targets: Iterable[str], chosen: Selection, workers: str, arguments: Sequence[str]
) -> int:
    """Run the suite in this process and return one of the three exit codes.

    Settings of the directory in which it is called, such as a ``pytest.ini``, mean nothing to it.
    """
    import pytest

    from harness.suite.catalogue import suite_directory

    suite = suite_directory()
    code = pytest.main(
        [
            f"--config-file={os.devnull}",
            f"--rootdir={suite.parent}",
            "-pno:cacheprovider",
            # We have imported ourselves before pytest could.
            "-Wignore::pytest.PytestAssertRewriteWarning",
            *(argument for target in targets for argument in ("--pullproof-target", target)),
            *_choosing(chosen),
            *(["-n", workers] if workers != "0" else []),
            *arguments,
            str(suite),
        ]
    )
    return int(code) if code in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} else 2


def _choosing(chosen: Selection) -> Iterable[str]:
    for pattern in chosen.ids:
        yield from ("--pullproof-scenario", pattern)
    for theme in chosen.themes:
        yield from ("--pullproof-theme", theme)
    for level in chosen.levels:
        yield from ("--pullproof-level", level.name)
    for need in chosen.needs:
        yield from ("--pullproof-need", need.name)


def _option(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]
