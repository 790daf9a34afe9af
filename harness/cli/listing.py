"""``pullproof list``, ``pullproof report`` and ``pullproof completion``."""

from __future__ import annotations

import json
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from harness.cli.common import FILE, Choice, format_option, output_option, write_output
from harness.cli.options import selection_options
from harness.suite.catalogue import Selection
from harness.suite.scenario import Scenario


@click.command("list")
@selection_options
@format_option("text", "json")
@click.option("--long", is_flag=True, help="Also print the reason, sources and needs of each.")
def list_scenarios(chosen: Selection, form: str, long: bool) -> int:
    """List the scenarios: id, level and claim.

    \b
    Examples:
      pullproof list --theme ttl
      pullproof list --scenario 'blob.*' --long

    Exit codes: 0, or 2 if no scenario is chosen.
    """
    from harness.report.differences import counted
    from harness.suite.catalogue import declared

    found = [scenario for scenario in declared() if chosen.chooses(scenario)]
    if form == "json":
        click.echo(json.dumps([_as_data(scenario) for scenario in found], indent=1))
    else:
        width = max((len(scenario.id) for scenario in found), default=0)
        for scenario in found:
            head = f"{scenario.id:{width}}  {scenario.level.value:6}  {scenario.claim}"
            click.echo("\n".join([head, *(_details(scenario) if long else ())]))
        click.echo(f"{counted(len(found), 'scenario')}")
    return 0 if found else 2


def _details(scenario: Scenario) -> list[str]:
    needs = ", ".join(sorted(need.value for need in scenario.needs)) or "nothing but its URL"
    lines = [scenario.why, f"Sources: {'; '.join(scenario.refs)}.", f"Needs: {needs}.", ""]
    return [f"    {line}".rstrip() for line in lines]


def _as_data(scenario: Scenario) -> dict[str, object]:
    return {
        "id": scenario.id,
        "theme": scenario.theme,
        "level": scenario.level.value,
        "claim": scenario.claim,
        "why": scenario.why,
        "refs": list(scenario.refs),
        "needs": sorted(need.name.lower().replace("_", "-") for need in scenario.needs),
    }


@click.command()
@click.argument("results", type=FILE)
@output_option
@click.option(
    "--format",
    "form",
    type=Choice(["html", "markdown"]),
    help="Format of the output (default: html, or markdown where FILE ends in .md).",
)
def report(results: Path, output: Path | None, form: str | None) -> int:
    """Render a report from RESULTS, a file from pullproof run --json or pytest --pullproof-json.

    \b
    Examples:
      pullproof report results.json -o report.html
      pullproof report results.json --format markdown

    Exit codes: 0 the report was written, whatever the results are. 2 RESULTS cannot be used.
    """
    from harness.report.document import DocumentError, read_document, render_html
    from harness.report.markdown import render_markdown

    try:
        document = read_document(results)
    except DocumentError as error:
        raise click.ClickException(str(error)) from error
    if form is None:
        form = "markdown" if output is not None and output.suffix == ".md" else "html"
    text = render_markdown(document) if form == "markdown" else render_html(document)
    write_output(text, output)
    return 0


@click.command()
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL. It completes targets, themes and scenario ids, too.

    \b
    Examples:
      pullproof completion bash > ~/.local/share/bash-completion/completions/pullproof
      pullproof completion zsh > ~/.zfunc/_pullproof   # a directory of $fpath
      pullproof completion fish > ~/.config/fish/completions/pullproof.fish
    """
    from harness.cli import pullproof

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(pullproof, {}, "pullproof", "_PULLPROOF_COMPLETE").source())
