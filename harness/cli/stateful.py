"""``pullproof stateful``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from harness.cli.options import complete_target

if TYPE_CHECKING:
    from harness.stateful.pair import Pair

__all__ = ["stateful"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("target", shell_complete=complete_target)
@click.argument("baseline", shell_complete=complete_target)
@click.option(
    "--sequences",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    metavar="N",
    help="Number of sequences to run.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="S",
    help="The same number gives the same sequences.",
)
@click.option(
    "--shrinking",
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to look for a smaller sequence once a difference is found.",
)
@click.option("--replay", type=_FILE, metavar="FILE", help="Run only the sequence in FILE.")
@click.option(
    "--save",
    type=_FILE,
    default=Path("sequence.json"),
    show_default=True,
    metavar="FILE",
    help="Where to save the smallest sequence with a difference.",
)
@click.option(
    "--divergences",
    "directory",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=None,
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
    from harness.compare.divergences import DivergenceFileError, read_known
    from harness.suite.catalogue import suite_directory
    from harness.targets import TargetError, parse_target

    try:
        from harness.stateful.pair import Pair
        from harness.stateful.sequences import SequenceError
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
        with (
            TemporaryDirectory(prefix="pullproof-") as scratch,
            Pair(left, right, known, Path(scratch) / "registries") as pair,
        ):
            if replay is not None:
                return _replay(pair, replay)
            return _search(pair, sequences, seed, shrinking, save, f"{target} {baseline}")
    except (TargetError, DivergenceFileError, SequenceError) as problem:
        raise click.ClickException(str(problem)) from problem
    except click.ClickException:
        raise
    except Exception as problem:
        # A registry or its process may break in any way; that is an outcome, not a bug of ours.
        text = f"a sequence could not run to its end: {str(problem) or type(problem).__name__}"
        raise click.ClickException(text) from problem


def _replay(pair: Pair, file: Path) -> int:
    from harness.stateful.pair import render_execution
    from harness.stateful.sequences import StepSequence

    execution = pair.run(StepSequence.read(file))
    click.echo(render_execution(execution, pair.left.name, pair.right.name), nl=False)
    return 0 if execution.difference is None else 1


def _search(pair: Pair, number: int, seed: int, shrinking: float, save: Path, targets: str) -> int:
    from harness.stateful.pair import render_execution, render_search, search

    names = pair.left.name, pair.right.name
    result = search(pair.run, number, seed, shrinking)
    click.echo(render_search(result, *names), nl=False)
    if result.found is None:
        return 0
    save.write_text(result.found.sequence.render(), encoding="utf-8")
    click.echo(f"\n{render_execution(result.found, *names)}")
    click.echo(f"Run it again: pullproof stateful {targets} --replay {save}")
    return 1
