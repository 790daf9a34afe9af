"""``pullproof lint``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from harness.cli.common import format_option
from harness.nodes.lint.engine import LintOptions, run_rules
from harness.nodes.lint.finding import nearest, printable
from harness.nodes.lint.fix.repair import repaired
from harness.nodes.lint.machine_readable import as_annotations, as_json, as_sarif, unified_diff
from harness.nodes.lint.project import Project
from harness.nodes.lint.reading import read_all, replace_all
from harness.nodes.lint.report import LintReport, as_text, one_liners, remarks_on_diff
from harness.nodes.lint.rules import loaded_rules


def _ids_of_rules(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    rules = (rule for rule in loaded_rules() if rule.id.startswith(incomplete.upper()))
    return [CompletionItem(rule.id, help=rule.title) for rule in rules]


def _rule_option(name: str, text: str, *, multiple: bool = False) -> Callable[[Any], Any]:
    return click.option(
        name, metavar="ID", multiple=multiple, shell_complete=_ids_of_rules, help=text
    )


@click.command("lint")
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "--release",
    "registry",
    multiple=True,
    help="Registry releases to check for: 2.8, 3.0 or 3.1 (default: all).",
)
@click.option(
    "--containerd",
    multiple=True,
    metavar="VERSION",
    help="containerd releases to check for, such as 1.7.24 (default: the last of each series).",
)
@format_option("text", "json", "sarif", "github")
@click.option("--fix", is_flag=True, help="Fix what has one right answer, in place.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, as a diff.")
@click.option("--quiet", "-q", is_flag=True, help="Print one line for each finding.")
@_rule_option("--select", "Only these rules: an id, or how ids begin (PPH).", multiple=True)
@_rule_option("--ignore", "All but these rules: an id, or how ids begin.", multiple=True)
@click.option("--strict", is_flag=True, help="Exit with 1 for findings of level info too.")
@_rule_option("--explain", "Explain a rule.")
@click.option("--list", "listing", is_flag=True, help="List the rules.")
def lint(
    paths: tuple[str, ...],
    registry: tuple[str, ...],
    containerd: tuple[str, ...],
    form: str,
    fix: bool,
    diff: bool,
    quiet: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    strict: bool,
    explain: str | None,
    listing: bool,
) -> int:
    """Find mistakes in the files of registries, containerd, docker, podman and Kubernetes.

    Contacts nothing. --format sarif is for code scanning, github for annotations.

    Exit codes: 0 no findings (with --fix: none left), 1 errors or warnings (with --diff: or
    something to fix), 2 a file that cannot be read or written, or a usage error.
    """
    if listing or explain:
        return _about_rules(explain)
    if not paths:
        raise click.UsageError("give files or directories")
    if fix and diff:
        raise click.UsageError("--fix and --diff exclude each other")
    if diff and (form != "text" or quiet):
        raise click.UsageError("--diff cannot be combined with --format or --quiet")
    chosen = (_known_ids(select, "--select"), _known_ids(ignore, "--ignore"))
    options = LintOptions(registry, containerd, *chosen)
    try:
        project = read_all(paths)
        report = _report(project, options, repair=fix or diff, write=fix)
    except FileNotFoundError as error:
        raise click.UsageError(f"{printable(error)}: no such file or directory") from None
    except ValueError as error:  # an unknown release; the message lists what is known
        raise click.UsageError(printable(error)) from None
    if diff:
        _print_diff(report)
    else:
        _print(report, form, quiet=quiet)
    for path, reason in report.failed.items():
        click.echo(f"pullproof lint: {printable(path)}: {printable(reason)}", err=True)
    found = report.outcome.findings
    if report.failed or any(finding.unreadable for finding in found):
        return 2
    counted = any(strict or finding.severity.rank < 2 for finding in found)
    return int(counted or (diff and bool(report.repairs)))


def _known_ids(given: tuple[str, ...], option: str) -> tuple[str, ...]:
    """*given* in capitals. Raises ``UsageError`` unless each is a rule's id or its beginning."""
    prefixes = tuple(prefix.upper() for prefix in given)
    ids = [rule.id for rule in loaded_rules()] if prefixes else []
    for prefix in prefixes:
        if not prefix or not any(rule_id.startswith(prefix) for rule_id in ids):
            near = nearest(prefix, ids) or nearest(prefix, {rule_id[:3] for rule_id in ids})
            hint = f"did you mean {near}?" if near else "--list shows all rules"
            raise click.UsageError(f"{option} {printable(prefix)}: unknown rule; {hint}")
    return prefixes


def _report(project: Project, options: LintOptions, *, repair: bool, write: bool) -> LintReport:
    """What the rules find in *project*; with *repair*, what is left after fixes, which also go into
    the files if *write*."""
    if not repair:
        return LintReport(project.documents, run_rules(project, options))
    result = repaired(project, options)
    failed = replace_all(result.repairs, project.roots) if write else {}
    stayed = [one.before for one in result.repairs if one.before.path in failed]
    left = result.project.with_documents(stayed)
    written = [one for one in result.repairs if one.before.path not in failed]
    return LintReport(left.documents, run_rules(left, options), written, result.refusals, failed)


def _print(report: LintReport, form: str, *, quiet: bool) -> None:
    if form in {"json", "sarif"}:
        click.echo(as_json(report) if form == "json" else as_sarif(report, Path.cwd()))
    elif form == "github":
        workspace = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
        for line in as_annotations(report, workspace):
            click.echo(line)
    else:
        for line in (one_liners if quiet else as_text)(report, click.style):
            click.echo(line, color=_in_colour())


def _print_diff(report: LintReport) -> None:
    """Print the exact diff; on a terminal, with control characters escaped."""
    terminal = sys.stdout.isatty()
    for line in unified_diff(report.repairs):
        if not terminal:
            click.echo(line.encode(errors="surrogateescape"), nl=False)
        else:
            fg = {"+": "green", "-": "red", "@": "cyan"}.get(line[0])
            shown = printable(line.rstrip("\r\n"), longest=None)
            click.echo(click.style(shown, fg=fg), color=_in_colour())
    for line in remarks_on_diff(report):
        click.echo(f"pullproof lint: {line}", err=True)


def _in_colour() -> bool:
    """https://no-color.org and https://force-color.org; else on terminals only."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def _about_rules(explain: str | None) -> int:
    rules = loaded_rules()
    if explain is None:
        for rule in rules:
            click.echo(f"{rule.id}  {rule.severity.value:7}  {rule.title}")
        return 0
    for rule in rules:
        if rule.id == explain.upper():
            files = ", ".join(kind.value for kind in rule.kinds)
            click.echo(f"{rule.id}: {rule.title} ({rule.severity.value}, {files})\n")
            click.echo(f"why: {rule.why}\nfix: {rule.fix}\nsource: {rule.source}")
            if rule.fixable:
                click.echo("fixable with --fix, at least in simple cases")
            return 0
    _known_ids((explain,), "--explain")
    raise click.UsageError(f"--explain {printable(explain)}: give one id; --list shows all rules")
