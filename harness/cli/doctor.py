"""``pullproof doctor``: what kind of cache is this?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli.options import Approach, approaching
from harness.cli.run import run_suite
from harness.suite.catalogue import Selection

if TYPE_CHECKING:
    from harness.doctor.questions import Line
    from harness.targets import UrlTarget

__all__ = ["doctor"]


@click.command()
@click.option(
    "--target",
    "-t",
    required=True,
    metavar="TARGET",
    help="What to look at: url:URL, or any other of `pullproof run`.",
)
@approaching
@click.option(
    "--image",
    metavar="NAME:TAG",
    help="For url:URL without --upstream-at: an image that can be pulled from it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answers as JSON.")
@click.option("--evidence", "-e", is_flag=True, help="Print the requests behind each answer.")
def doctor(
    target: str,
    approach: Approach,
    image: str | None,
    as_json: bool,
    evidence: bool,
) -> int:
    """Say within a minute what kind of cache TARGET is: which release it answers like, what it does
    with HEAD, tags, ranges, rate limits and outages, and what that means to its operator.

    \b
    pullproof doctor -t url:http://127.0.0.1:5000 --upstream-at 127.0.0.1:5001
    pullproof doctor -t url:https://mirror.example --image library/alpine:3
    pullproof doctor -t binary:docker-registry --evidence

    With a mock upstream behind it, which the registry has to be pointed at, all can be asked;
    otherwise what shows in answers alone. Exit codes: 0 answered, 2 nobody there to be asked.
    """
    from harness.doctor import checks, render
    from harness.doctor.image import ImageProblem, about_image, parse_reference
    from harness.suite.catalogue import suite_directory
    from harness.targets import Access, TargetError, UrlTarget, parse_target

    try:
        access = Access.read(
            login=approach.login,
            headers=approach.headers,
            ca=approach.ca,
            upstream_at=approach.upstream_at,
            allow_writes=approach.allow_writes,
            known_as=approach.known_as,
            environment=os.environ,
        )
        found = parse_target(target, access)
        alone = isinstance(found, UrlTarget) and approach.upstream_at is None
        if image is not None and not alone:
            raise click.UsageError("--image is for url:URL without --upstream-at")
        lines = [_login_wanted(found)] if isinstance(found, UrlTarget) else []
        if isinstance(found, UrlTarget) and approach.upstream_at is None:
            lines += about_image(found, parse_reference(image) if image else None)
            likeness = None
        else:
            found.check()

            def run(ids: Sequence[str], more: Sequence[str]) -> int:
                chosen = Selection(ids=tuple(ids))
                return run_suite([target], chosen, approach.workers, [*approach.arguments, *more])

            cells, said = checks.run_checks(run)
            if not cells:
                click.echo(said, err=True, nl=False)
                return 2
            lines += checks.answers(cells)
            likeness = checks.guess(cells, suite_directory())
    except (TargetError, ImageProblem) as problem:
        click.echo(f"pullproof doctor: {problem}", err=True)
        return 2
    if as_json:
        click.echo(render.as_json(found.name, likeness, lines), nl=False)
    else:
        click.echo(render.as_text(found.name, likeness, lines, evidence=evidence), nl=False)
    return 0


def _login_wanted(target: UrlTarget) -> Line:
    from harness.doctor.questions import Line

    scheme = target.login.scheme
    if target.access.login is None and scheme is None:
        told = "no", "whoever reaches it can pull all that it may pull"
    elif scheme == "bearer" and target.access.login is None:
        told = "tokens, for anybody", "clients have to fetch one first, which docker and others do"
    elif scheme is None:
        told = "no", "the login that was given was not asked for"
    else:
        told = f"yes, {scheme}", "nodes need the login: containerd, kubelet and docker each"
    return Line("login", "Does it want a login?", *told, ("GET /v2/",))
