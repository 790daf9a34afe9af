"""``pullproof doctor``."""

from __future__ import annotations

from io import StringIO

import click

from harness.cli.options import AccessOptions, access_options, complete_target
from harness.cli.run import results_of
from harness.doctor.checks import answers, as_json, as_text, guess
from harness.doctor.image import ImageProblem, about_image, parse_reference
from harness.doctor.questions import FINGERPRINT, QUESTIONS, Line
from harness.suite.catalogue import Selection, suite_directory
from harness.targets import TargetError, UrlTarget, parse_target


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
@click.option("--json", "json_wanted", is_flag=True, help="Print the answers as JSON.")
@click.option("--evidence", "-e", is_flag=True, help="Print the requests behind each answer.")
def doctor(
    target: str, access: AccessOptions, image: str | None, json_wanted: bool, evidence: bool
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
    try:
        found = parse_target(target, access.read())
        lines = [_login_wanted(found)] if isinstance(found, UrlTarget) else []
        fingerprint = None
        if isinstance(found, UrlTarget) and found.access.upstream_at is None:
            lines += about_image(found, parse_reference(image) if image else None)
        elif image is not None:
            raise click.UsageError("--image is for url:URL without --upstream-at")
        else:
            found.check()
            ids = {question.scenario_id for question in QUESTIONS} | set(FINGERPRINT)
            output = StringIO()
            chosen = Selection(ids=tuple(sorted(ids)))
            document = results_of([target], chosen, access.workers, access.arguments, output)
            if document is None or not document["results"]:
                click.echo(output.getvalue(), err=True, nl=False)
                return 2
            lines += answers(document["results"])
            fingerprint = guess(document["results"], suite_directory())
    except (TargetError, ImageProblem) as problem:
        raise click.ClickException(str(problem)) from problem
    if json_wanted:
        click.echo(as_json(found.name, fingerprint, lines), nl=False)
    else:
        click.echo(as_text(found.name, fingerprint, lines, evidence=evidence), nl=False)
    return 0


def _login_wanted(target: UrlTarget) -> Line:
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
