"""``pullproof stateful``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.cli.common import FILE, file_option
from harness.cli.options import complete_target
from harness.compare.data import EntryFileError
from harness.compare.divergences import read_known
from harness.suite.catalogue import suite_directory
from harness.targets import TargetError, parse_target


def _number_option(
    name: str, kind: click.ParamType[Any], default: float, metavar: str, text: str
) -> Callable[[Any], Any]:
    return click.option(
        name, type=kind, default=default, show_default=True, metavar=metavar, help=text
    )


@click.command()
@click.argument("target", shell_complete=complete_target)
@click.argument("baseline", shell_complete=complete_target)
@_number_option("--sequences", click.IntRange(1), 200, "N", "Number of sequences to run.")
@_number_option("--seed", click.INT, 0, "S", "The same number gives the same sequences.")
@_number_option(
    "--shrinking",
    click.FloatRange(0),
    60,
    "SECONDS",
    "How long to look for a smaller sequence once a difference is found.",
)
@file_option("--replay", text="Run only the sequence in FILE.")
@click.option(
    "--save",
    type=FILE,
    default=Path("sequence.json"),
    show_default=True,
    metavar="FILE",
    help="Where to save the smallest sequence with a difference.",
)
@click.option(
    "--divergences",
    "directory",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Directory of a divergences.toml with known differences (default: the suite's).",
)
def stateful(
    target: str,
    baseline: str,
    sequences: int,
    seed: int,
    shrinking: float,
    replay: Path | None,
    save: Path,
    directory: Path | None,
) -> int:
    """Run random sequences of operations on TARGET and BASELINE at once, and print the smallest one
    in which they differ.

    Upstream moves tags, fails and recovers; clients pull, push, list and delete; time passes,
    garbage is collected, the registry restarts.

    \b
    Examples:
      pullproof stateful reference@2.8 binary:docker-registry --sequences 2000 --seed 7
      pullproof stateful reference@2.8 binary:docker-registry --replay sequence.json

    Exit codes: 0 no unexplained difference. 1 they differ. 2 misuse, a target that is not
    available, or a sequence that could not run to its end.
    """
    try:
        from harness.stateful.pair import Pair, render_execution, render_search, search
        from harness.stateful.sequences import SequenceError, StepSequence
    except ModuleNotFoundError as missing:
        if missing.name != "hypothesis":
            raise
        needed = "needs hypothesis: pip install 'pullproof[stateful]'"
        raise click.ClickException(needed) from missing
    try:
        left, right = parse_target(target), parse_target(baseline)
        left.check()
        right.check()
        known = read_known(directory or suite_directory())
        names = left.name, right.name
        pair = Pair(left, right, known)
        if replay is not None:
            execution = pair.run(StepSequence.read(replay))
            click.echo(render_execution(execution, *names), nl=False)
            return 0 if execution.difference is None else 1
        result = search(pair.run, sequences, seed, shrinking)
        click.echo(render_search(result, *names), nl=False)
        if result.found is None:
            return 0
        save.write_text(result.found.sequence.render(), encoding="utf-8")
        click.echo(f"\n{render_execution(result.found, *names)}")
        click.echo(f"Run it again: pullproof stateful {target} {baseline} --replay {save}")
        return 1
    except (TargetError, EntryFileError, SequenceError) as problem:
        raise click.ClickException(str(problem)) from problem
    except click.ClickException:
        raise
    except Exception as problem:
        # A registry or its process may break in any way; that is an outcome, not a bug of ours.
        text = f"a sequence could not run to its end: {str(problem) or type(problem).__name__}"
        raise click.ClickException(text) from problem
