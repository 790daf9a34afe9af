"""``pullproof doctor``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.cli.options import AccessOptions, access_options, complete_target
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
    shell_complete=complete_target,
    help="The registry: url:URL, or any other target of pullproof run.",
)
@access_options
@click.option(
    "--image",
    metavar="NAME:TAG",
    help="For url:URL without --upstream-at: an image that can be pulled from it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answers as JSON.")
@click.option("--evidence", "-e", is_flag=True, help="Print the requests behind each answer.")
def doctor(
    target: str,
    access: AccessOptions,
    image: str | None,
    as_json: bool,
    evidence: bool,
) -> int:
    """Find out within a minute what kind of cache TARGET is: which release it behaves like, how it
    handles HEAD, tags, ranges, rate limits and outages, and what that means for its operator.

    With --upstream-at, a mock upstream behind the registry answers all questions. Without it, only
    those that the registry's own answers decide.

    \b
    Examples:
      pullproof doctor -t url:http://127.0.0.1:5000 --upstream-at 127.0.0.1:5001
      pullproof doctor -t url:https://mirror.example --image library/alpine:3
      pullproof doctor -t binary:docker-registry --evidence

    Exit codes: 0 the questions were answered. 2 misuse, or the target is not available.
    """
    from harness.doctor import checks
    from harness.doctor.image import ImageProblem, about_image, parse_reference
    from harness.suite.catalogue import suite_directory
    from harness.targets import Access, TargetError, UrlTarget, parse_target

    try:
        found = parse_target(
            target,
            Access.read(**vars(access), environment=os.environ),
        )
        lines = [_login_wanted(found)] if isinstance(found, UrlTarget) else []
        fingerprint = None
        if isinstance(found, UrlTarget) and access.upstream_at is None:
            lines += about_image(found, parse_reference(image) if image else None)
        elif image is not None:
            raise click.UsageError("--image is for url:URL without --upstream-at")
        else:
            found.check()

            def run(ids: Sequence[str], more: Sequence[str]) -> int:
                chosen = Selection(ids=tuple(ids))
                return run_suite([target], chosen, access.workers, [*access.arguments, *more])

            cells, output = checks.run_checks(run)
            if not cells:
                click.echo(output, err=True, nl=False)
                return 2
            lines += checks.answers(cells)
            fingerprint = checks.guess(cells, suite_directory())
    except (TargetError, ImageProblem) as problem:
        raise click.ClickException(str(problem)) from problem
    if as_json:
        click.echo(checks.as_json(found.name, fingerprint, lines), nl=False)
    else:
        click.echo(checks.as_text(found.name, fingerprint, lines, evidence=evidence), nl=False)
    return 0


def _login_wanted(target: UrlTarget) -> Line:
    from harness.doctor.questions import Line

    scheme = target.login.scheme
    if target.access.login is None and scheme is None:
        answer = "no", "everyone who can reach it can pull"
    elif scheme == "bearer" and target.access.login is None:
        answer = "tokens, for everyone", "clients fetch a token first, as docker and others do"
    elif scheme is None:
        answer = "no", "it did not ask for the login that was given"
    else:
        answer = f"yes, {scheme}", "containerd, kubelet and docker on each node need the login"
    return Line("login", "Does it require a login?", *answer, ("GET /v2/",))
