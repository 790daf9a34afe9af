"""``pullproof``: the command line. Each command is imported only when it is used.

Exit codes of every command: 0 all as expected, 1 a scenario, comparison or check failed, 2 misuse
or a target that is not available.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module

import click

__all__ = ["main", "pullproof"]

_COMMANDS = {
    "compare": (".run:compare", "Compare all that two targets show, scenario by scenario."),
    "completion": (".listing:completion", "Print the completion script of a shell."),
    "doctor": (".doctor:doctor", "Find out what kind of cache a registry is."),
    "explain": (".explain:explain", "Show which hosts a pull asks, in order, with credentials."),
    "lint": (".lint:lint", "Find mistakes in the files of a registry and of its clients."),
    "list": (".listing:list_scenarios", "List the scenarios."),
    "report": (".listing:report", "Render a report from a file of results."),
    "run": (".run:run", "Run the scenarios on one or more targets."),
    "stateful": (".stateful:stateful", "Find differences with random sequences of operations."),
    "upstream": (".upstream:upstream", "Run a mock upstream registry."),
}
"""By name: ``module:function``, relative to this package, and the summary that ``--help`` shows
without importing the module."""


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C takes effect at the end of the block: an import that it interrupts cannot be repeated,
    and the report about an interrupted run needs some of the same modules."""
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        signal.raise_signal(signal.SIGINT)


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        with _uninterrupted():
            command: click.Command = getattr(import_module(module, __name__), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            close = get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(_COMMANDS)}"
            raise click.UsageError(f"unknown command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pullproof", message="pullproof %(version)s")
def pullproof() -> None:
    """Prove how a container-registry pull-through cache behaves.

    \b
    Examples:
      pullproof run -t reference -t container:registry:2
      pullproof doctor -t url:https://mirror.example --image library/alpine:3
      pullproof lint config.yml

    Exit codes: 0 all as expected, 1 something failed, 2 misuse or a target that is not available.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Misuse is reported in one line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            code = pullproof.main(words, prog_name="pullproof", standalone_mode=False)
        except click.Abort:  # Ctrl-C
            if words[:1] != ["run"]:
                return 130  # The exit code that a shell reports after Ctrl-C.
            from harness.cli.run import write_unstarted

            code = write_unstarted(words[1:])
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.format_message(), err=True)
        return 2
    except click.ClickException as problem:
        context = getattr(problem, "ctx", None)
        command = context.command_path if context else "pullproof"
        hint = f" (see {command} --help)" if isinstance(problem, click.UsageError) else ""
        text = " ".join(problem.format_message().split()).rstrip(".")
        click.echo(f"{command}: {text}{hint}", err=True)
        return 2
    return code if isinstance(code, int) else 0


def script() -> None:
    """The console script."""
    sys.exit(main())
