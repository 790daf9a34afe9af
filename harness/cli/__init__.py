"""``pullproof``: the command line. Each command is a module of its own, imported when asked for.

Exit codes, of every command: 0 where all is as expected, 1 where a scenario, a comparison or a
check failed, 2 where the command was misused or a target cannot be had.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

__all__ = ["main", "pullproof"]

_COMMANDS = {
    "compare": ".compare:compare",
    "completion": ".listing:completion",
    "doctor": ".doctor:doctor",
    "explain": ".explain:explain",
    "lint": ".lint:lint",
    "list": ".listing:list_scenarios",
    "report": ".report:report",
    "run": ".run:run",
    "stateful": ".stateful:stateful",
    "upstream": ".upstream:upstream",
}
"""Name to ``module:command``, the module seen from here."""

_SUMMARIES = {
    "compare": "Compare what two targets show, scenario by scenario.",
    "completion": "Print the completion script of a shell.",
    "doctor": "Say what kind of cache a registry is.",
    "explain": "Tell which hosts a pull asks, in which order, with which credentials.",
    "lint": "Find mistakes in the files of a registry and of containerd.",
    "list": "List the scenarios.",
    "report": "Make a report for people from a file of results.",
    "run": "Prove how registries behave.",
    "stateful": "Play random stories on two targets, and find where they differ.",
    "upstream": "Run a mock upstream registry.",
}
"""What ``--help`` says, so that it need not import all commands."""


class _Commands(click.Group):
    """Imports a command when it is run, completed or asked for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module, __name__), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _SUMMARIES[name]) for name in self.list_commands(ctx)])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pullproof", prog_name="pullproof")
def pullproof() -> None:
    """Prove how a container-registry pull-through cache behaves.

    Exit codes: 0 all as expected, 1 something failed, 2 misuse or a target that cannot be had.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. What is wrong with the arguments is one line."""
    try:
        code = pullproof.main(arguments, prog_name="pullproof", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.format_message(), err=True)
        return 2
    except click.ClickException as problem:
        context = getattr(problem, "ctx", None)
        command = context.command_path if context else "pullproof"
        hint = f" (see {command} --help)" if isinstance(problem, click.UsageError) else ""
        click.echo(f"{command}: {_in_one_line(problem)}{hint}", err=True)
        return 2
    except click.Abort:
        return 130  # As a shell says it of Ctrl-C.
    return code if isinstance(code, int) else 0


def _in_one_line(problem: click.ClickException) -> str:
    return " ".join(problem.format_message().split()).rstrip(".")


def script() -> None:
    """The console script."""
    sys.exit(main())
