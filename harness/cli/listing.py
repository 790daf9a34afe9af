"""``pullproof list``."""

from __future__ import annotations

import json

import click
from click.shell_completion import get_completion_class

from harness.cli.options import choosing, selection
from harness.suite.scenario import Scenario

__all__ = ["completion", "list_scenarios"]


@click.command("list")
@choosing
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How to print them (default: text).",
)
@click.option("--long", is_flag=True, help="With why each matters, its sources and its needs.")
def list_scenarios(
    ids: tuple[str, ...],
    theme: tuple[str, ...],
    level: tuple[str, ...],
    need: tuple[str, ...],
    form: str,
    long: bool,
) -> int:
    """List the scenarios: id, level and claim, and their number."""
    from harness.suite.catalogue import declared

    wanted = selection(ids, theme, level, need)
    chosen = [scenario for scenario in declared() if wanted.chooses(scenario)]
    if form == "json":
        click.echo(json.dumps([_as_data(scenario) for scenario in chosen], indent=1))
    else:
        width = max((len(scenario.id) for scenario in chosen), default=0)
        for scenario in chosen:
            head = f"{scenario.id:{width}}  {scenario.level.value:6}  {scenario.claim}"
            click.echo("\n".join([head, *(_details(scenario) if long else ())]))
        click.echo(f"{len(chosen)} scenarios")
    return 0 if chosen else 2


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
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  pullproof completion bash > ~/.local/share/bash-completion/completions/pullproof
    zsh:   pullproof completion zsh > a file _pullproof in a directory of $fpath
    fish:  pullproof completion fish > ~/.config/fish/completions/pullproof.fish
    """
    from harness.cli import pullproof

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(pullproof, {}, "pullproof", "_PULLPROOF_COMPLETE").source())
