"""The command line: ``serve``, ``garbage-collect``, ``check-config``, ``schedule``, ``htpasswd``.

It accepts the arguments of distribution's ``registry`` binary and can replace it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NoReturn

from reference_registry import __version__, commands
from reference_registry.commands import MISUSE, PROGRAM, Misuse
from reference_registry.config.problem import ConfigError
from reference_registry.profiles import DEFAULT_PROFILE, PROFILES, Profile, profile_named

Command = Callable[[argparse.Namespace, Profile], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in *argv* (default: those of the process); the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    try:
        arguments = list(_without_flag_values(arguments))
        profile = _chosen_profile(arguments)
        options = _parser(profile).parse_args(arguments)
        if "config" in options and not options.config:
            message = "configuration path unspecified; name a config.yml"
            raise Misuse(message, MISUSE if profile.strict_config else 1)
        code: int = options.run(options, profile)
        # Now, because a BrokenPipeError at exit could not be caught.
        sys.stdout.flush()
        return code
    except Misuse as misuse:
        print(f"{PROGRAM}: {misuse}", file=sys.stderr)
        return misuse.exit_code
    except ConfigError as error:
        for problem in error.problems:
            print(f"{PROGRAM}: {problem}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has gone, and Python must not flush it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


# -- arguments ----------------------------------------------------------------------------------
_FLAG_VALUE = re.compile("(?P<flag>-d|-m|-q|--dry-run|--delete-untagged|--quiet)=(?P<value>.*)")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})  # Go's strconv.ParseBool
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def _without_flag_values(arguments: Iterable[str]) -> Iterator[str]:
    """*arguments* with ``--dry-run`` for ``--dry-run=true``, as Go's flags are written too."""
    for argument in arguments:
        match = _FLAG_VALUE.fullmatch(argument)
        if match is None or match["value"] not in _TRUE | _FALSE:
            yield argument
        elif match["value"] in _TRUE:
            yield match["flag"]


class _Parser(argparse.ArgumentParser):
    """*profile* decides the exit code for wrong arguments."""

    def __init__(self, *, profile: Profile = DEFAULT_PROFILE, **settings: object) -> None:
        super().__init__(allow_abbrev=False, **settings)  # type: ignore[arg-type]
        self._exit_code = MISUSE if profile.strict_config else 0

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise Misuse(message, self._exit_code)


def _chosen_profile(arguments: Sequence[str]) -> Profile:
    """The profile of ``--profile``, anywhere among *arguments*, or of ``PULLPROOF_PROFILE``."""
    finder = _Parser(add_help=False)
    finder.add_argument("--profile", default=os.environ.get("PULLPROOF_PROFILE"))
    name = finder.parse_known_args(list(arguments))[0].profile
    try:
        return profile_named(name) if name else DEFAULT_PROFILE
    except ValueError as error:
        raise Misuse(str(error), MISUSE) from None


def _parser(profile: Profile) -> argparse.ArgumentParser:
    shared = _Parser(add_help=False, profile=profile)
    shared.add_argument(
        "--profile",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help=f"behave like: {', '.join(PROFILES)} (default: $PULLPROOF_PROFILE or ideal)",
    )
    parser = _Parser(
        prog=PROGRAM, parents=[shared], profile=profile, description="A container registry."
    )
    parser.add_argument("-v", "--version", action="version", version=f"{PROGRAM} {__version__}")
    group = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Command, purpose: str) -> argparse.ArgumentParser:
        added = group.add_parser(
            name, help=purpose, description=purpose, parents=[shared], profile=profile
        )
        added.set_defaults(run=run)
        if run is not commands.htpasswd:
            added.add_argument(
                "config",
                metavar="CONFIG",
                nargs="?",
                default=os.environ.get("REGISTRY_CONFIGURATION_PATH"),
                help="distribution's config.yml (default: $REGISTRY_CONFIGURATION_PATH)",
            )
        return added

    command("serve", commands.serve, "Serve the registry that CONFIG describes.")
    collect = command(
        "garbage-collect", commands.garbage_collect, "Delete blobs that no manifest references."
    )
    collect.add_argument(
        "-d", "--dry-run", action="store_true", help="only report what would be deleted"
    )
    collect.add_argument(
        "-m", "--delete-untagged", action="store_true", help="delete untagged manifests too"
    )
    collect.set_defaults(json=False, grace="0", quiet=False)
    if profile.gc_reports:
        collect.add_argument("--json", action="store_true", help="print a report as a JSON object")
        collect.add_argument(
            "--grace",
            default="0",
            metavar="DURATION",
            help="keep what was pushed, pulled or asked for within this time (default: 0); for "
            "collecting while the registry serves",
        )
    if profile.gc_quiet_flag:
        collect.add_argument("-q", "--quiet", action="store_true", help="no output")
    purpose = "Explain CONFIG, and warn about settings that have no effect."
    command("check-config", commands.check_config, purpose)
    purpose = "List when the content of the cache in CONFIG expires."
    listing = command("schedule", commands.schedule, purpose)
    listing.add_argument("--json", action="store_true", help="a list of objects")
    hashing = command(
        "htpasswd", commands.htpasswd, "Print USER and the bcrypt hash of a password."
    )
    for flag, ignored in (("-B", "bcrypt, as always"), ("-n", "print, as always")):
        hashing.add_argument(flag, action="store_true", help=ignored)
    hashing.add_argument("-b", action="store_true", help="take PASSWORD from the command line")
    hashing.add_argument("user", metavar="USER")
    hashing.add_argument("password", metavar="PASSWORD", nargs="?")
    return parser


if __name__ == "__main__":
    sys.exit(main())
