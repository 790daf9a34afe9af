"""``pullproof stateful``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.stateful.pair import Pair
    from harness.targets import Target

__all__ = ["stateful"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("target")
@click.argument("baseline")
@click.option(
    "--sequences",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    metavar="N",
    help="How many stories to play.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="S",
    help="The same stories for the same number.",
)
@click.option("--replay", type=_FILE, metavar="FILE", help="Play the story in FILE, and no other.")
@click.option(
    "--save",
    type=_FILE,
    default=Path("story.json"),
    show_default=True,
    metavar="FILE",
    help="Where to keep the smallest story in which they differ.",
)
@click.option(
    "--divergences",
    "directory",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=None,
    metavar="DIR",
    help="Where divergences.toml lies that explains what may differ (default: the scenarios').",
)
def stateful(
    target: str,
    baseline: str,
    sequences: int,
    seed: int,
    replay: Path | None,
    save: Path,
    directory: Path | None,
) -> int:
    """Play random stories on TARGET and BASELINE at once, and tell the smallest one in which they
    differ: upstream moves tags, goes down and breaks answers; clients pull, push, ask and delete;
    time passes, garbage is collected, the registry is restarted.

    \b
    pullproof stateful reference@2.8 binary:docker-registry --sequences 2000 --seed 7
    pullproof stateful reference@2.8 binary:docker-registry --replay story.json
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
        left, right = _launchable(parse_target(target)), _launchable(parse_target(baseline))
        known = read_known(directory or suite_directory())
        with (
            TemporaryDirectory(prefix="pullproof-") as scratch,
            Pair(left, right, known, Path(scratch) / "registries") as twins,
        ):
            if replay is not None:
                return _replayed(twins, replay)
            return _searched(twins, sequences, seed, save, f"{target} {baseline}")
    except (TargetError, DivergenceFileError, SequenceError) as problem:
        raise click.ClickException(str(problem)) from problem


def _launchable(target: Target) -> Target:
    target.check()
    return target


def _replayed(twins: Pair, file: Path) -> int:
    from harness.stateful.render import tell
    from harness.stateful.sequences import StepSequence

    playing = twins.play(StepSequence.read(file))
    click.echo(tell(playing, twins.left.name, twins.right.name), nl=False)
    return 0 if playing.difference is None else 1


def _searched(twins: Pair, sequences: int, start: int, save: Path, targets: str) -> int:
    from harness.stateful.pair import search
    from harness.stateful.render import tell, tell_search

    names = twins.left.name, twins.right.name
    found = search(twins.play, sequences, start)
    click.echo(tell_search(found, *names), nl=False)
    if found.found is None:
        return 0
    save.write_text(found.found.story.render(), encoding="utf-8")
    click.echo(f"\n{tell(found.found, *names)}")
    click.echo(f"Play it again: pullproof stateful {targets} --replay {save}")
    return 1
