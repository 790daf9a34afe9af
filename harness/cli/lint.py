"""``pullproof lint``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.lint.finding import Finding

__all__ = ["lint"]

_FORMAT_VERSION = 1
_CONTEXT = "Releases of containerd to ask about, such as 1.7.24 (default: one of each series)."


@click.command("lint")
@click.argument("paths", nargs=-1)
@click.option("--release", "registry", multiple=True, help="Registry releases: 2.8, 3.0 or 3.1.")
@click.option("--containerd", multiple=True, metavar="VERSION", help=_CONTEXT)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--select", multiple=True, metavar="ID", help="Only rules whose id begins so.")
@click.option("--ignore", multiple=True, metavar="ID", help="Not the rules whose id begins so.")
@click.option("--strict", is_flag=True, help="Count what is good to know as a finding too.")
@click.option("--explain", metavar="ID", help="Print what there is to say of a rule.")
@click.option("--list", "listing", is_flag=True, help="List the rules.")
def lint(
    paths: tuple[str, ...],
    registry: tuple[str, ...],
    containerd: tuple[str, ...],
    form: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    strict: bool,
    explain: str | None,
    listing: bool,
) -> int:
    """Find mistakes in config.yml, htpasswd, scheduler-state.json, certs.d and config.toml.

    Nothing is contacted. Exit codes: 0 nothing found, 1 errors or warnings, 2 a file that cannot be
    read, or misuse.
    """
    if listing or explain:
        return _about_rules(explain)
    if not paths:
        raise click.UsageError("give files or directories")
    from harness.lint.engine import Question, findings
    from harness.lint.project import Project
    from harness.lint.reading import read_all

    try:
        tree = read_all(paths)
        project = Project(tuple(tree.documents), tuple(tree.roots), tree.names)
        found = findings(project, Question(registry, containerd, select, ignore))
    except FileNotFoundError as error:
        raise click.UsageError(f"{error}: no such file or directory") from None
    except ValueError as error:  # an unknown release; the message lists what is known
        raise click.UsageError(str(error)) from None
    click.echo(_as_json(found) if form == "json" else _as_text(found, len(tree.documents)))
    if any(finding.unreadable for finding in found):
        return 2
    return int(any(strict or finding.severity.rank < 2 for finding in found))


def _about_rules(explain: str | None) -> int:
    from harness.lint.rule import loaded_rules

    rules = loaded_rules()
    if explain is None:
        for rule in rules:
            click.echo(f"{rule.id}  {rule.severity.value:7}  {rule.title}")
        return 0
    for rule in rules:
        if rule.id == explain.upper():
            files = ", ".join(kind.value for kind in rule.kinds)
            click.echo(f"{rule.id}: {rule.title} ({rule.severity.value}, {files})\n")
            click.echo(f"why: {rule.why}\nfix: {rule.fix}\nsource: {rule.reference}")
            return 0
    raise click.UsageError(f"no rule is called {explain}; see --list")


def _as_text(found: Sequence[Finding], files: int) -> str:
    lines = []
    for finding in found:
        place = f"{finding.file}:{finding.spot.line}:{finding.spot.column}"
        of = f" [{', '.join(finding.releases)}]" if finding.releases else ""
        lines += [
            f"{place}: {finding.severity.value}: {finding.what} [{finding.rule}]{of}",
            f"    why: {finding.why}",
            f"    fix: {finding.fix}",
            f"    source: {finding.reference}",
        ]
    lines.append(f"{files} files and directories, {len(found)} findings")
    return "\n".join(lines)


def _as_json(found: Sequence[Finding]) -> str:
    return json.dumps(
        {
            "version": _FORMAT_VERSION,
            "findings": [
                {
                    "id": finding.rule,
                    "severity": finding.severity.value,
                    "file": finding.file,
                    "line": finding.spot.line,
                    "column": finding.spot.column,
                    "what": finding.what,
                    "why": finding.why,
                    "fix": finding.fix,
                    "reference": finding.reference,
                    "releases": list(finding.releases),
                }
                for finding in found
            ],
        },
        indent=1,
    )
