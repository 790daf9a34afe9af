"""``pullproof completion SHELL``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


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
