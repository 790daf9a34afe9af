"""The command line: ``serve``, ``garbage-collect``, ``htpasswd``.

It takes the arguments of distribution's ``registry`` binary, so that it can stand in for it. What
the commands need is imported by them, since ``serve`` must be ready quickly and the others are
short.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from reference_registry import __version__
from reference_registry.config.problem import CannotStart, ConfigError, Place, Problem
from reference_registry.profiles import DEFAULT_PROFILE, PROFILES, Profile, profile_named

__all__ = ["main"]

_PROGRAM = "pullproof-registry"
_MISUSE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in *argv* (default: those of the process); the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        profile = _chosen_profile(arguments)
        options = _parser(profile).parse_args(arguments)
        commands = {"serve": _serve, "garbage-collect": _garbage_collect, "htpasswd": _htpasswd}
        return commands[options.command](options, profile)
    except _Misuse as misuse:
        print(f"{_PROGRAM}: {misuse}", file=sys.stderr)
        return misuse.exit_code
    except ConfigError as error:
        for problem in error.problems:
            print(f"{_PROGRAM}: {problem}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has left; nor must Python flush it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


# -- arguments ----------------------------------------------------------------------------------
class _Misuse(Exception):
    """Arguments that make no sense. A release says so and exits with 0."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _Parser(argparse.ArgumentParser):
    """*profile* decides how misuse ends."""

    def __init__(self, *, profile: Profile = DEFAULT_PROFILE, **settings: object) -> None:
        super().__init__(allow_abbrev=False, **settings)  # type: ignore[arg-type]
        self._exit_code = _MISUSE if profile.strict_config else 0

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise _Misuse(message, self._exit_code)


def _chosen_profile(arguments: Sequence[str]) -> Profile:
    """That of ``--profile``, which may stand anywhere, or of ``PULLPROOF_PROFILE``."""
    finder = _Parser(add_help=False)
    finder.add_argument("--profile", default=os.environ.get("PULLPROOF_PROFILE"))
    name = finder.parse_known_args(list(arguments))[0].profile
    try:
        return profile_named(name) if name else DEFAULT_PROFILE
    except ValueError as error:
        raise _Misuse(str(error), _MISUSE) from None


def _parser(profile: Profile) -> argparse.ArgumentParser:
    shared = _Parser(add_help=False, profile=profile)
    shared.add_argument(
        "--profile",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help=f"behave like: {', '.join(PROFILES)} (default: $PULLPROOF_PROFILE or ideal)",
    )
    parser = _Parser(
        prog=_PROGRAM, parents=[shared], profile=profile, description="A container registry."
    )
    parser.add_argument("-v", "--version", action="version", version=f"{_PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, purpose: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=purpose, description=purpose, parents=[shared], profile=profile
        )

    serve = command("serve", "Serve the registry that CONFIG describes.")
    _add_config(serve)
    collect = command("garbage-collect", "Delete blobs that no manifest references.")
    collect.add_argument("-d", "--dry-run", action="store_true", help="only say what would go")
    collect.add_argument(
        "-m", "--delete-untagged", action="store_true", help="delete untagged manifests too"
    )
    if profile.gc_quiet_flag:
        collect.add_argument("-q", "--quiet", action="store_true", help="no output")
    _add_config(collect)
    htpasswd = command("htpasswd", "Print USER and the bcrypt hash of a password.")
    for flag, ignored in (("-B", "bcrypt, as always"), ("-n", "print, as always")):
        htpasswd.add_argument(flag, action="store_true", help=ignored)
    htpasswd.add_argument("-b", action="store_true", help="take PASSWORD from the command line")
    htpasswd.add_argument("user", metavar="USER")
    htpasswd.add_argument("password", metavar="PASSWORD", nargs="?")
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config",
        metavar="CONFIG",
        nargs="?",
        default=os.environ.get("REGISTRY_CONFIGURATION_PATH"),
        help="distribution's config.yml (default: $REGISTRY_CONFIGURATION_PATH)",
    )


def _config_path(options: argparse.Namespace, profile: Profile) -> str:
    if not options.config:
        code = _MISUSE if profile.strict_config else 1
        raise _Misuse("configuration path unspecified; name a config.yml", code)
    return str(options.config)


# -- commands -----------------------------------------------------------------------------------
def _serve(options: argparse.Namespace, profile: Profile) -> int:
    import asyncio
    import logging

    from reference_registry.api.hooks import Observer
    from reference_registry.config.file import read
    from reference_registry.observability.access_log import AccessLog
    from reference_registry.observability.logs import configure_logging
    from reference_registry.observability.redaction import Redactor, secrets_of
    from reference_registry.observability.request_log import RequestLog
    from reference_registry.server import Server
    from reference_registry.serving import run_until_signalled

    path = _config_path(options, profile)
    found = read(path, profile=profile)
    if found.config is None:
        raise ConfigError(found.errors)
    config = found.config
    redact = Redactor(secrets_of(config))
    configure_logging(config.log, version=__version__, redact=redact)
    log = logging.getLogger("reference_registry.configuration")
    for warning in found.warnings:
        log.warning("%s", warning)

    observers: list[Observer] = [RequestLog()]
    if not config.log.accesslog_disabled:
        observers.append(AccessLog(redact))

    async def run() -> int:
        return await run_until_signalled(Server(config, profile=profile, observers=observers))

    try:
        return asyncio.run(run())
    except CannotStart as error:
        place = found.places.get(error.key, Place(path))
        code = _MISUSE if profile.strict_config else error.released_exit_code
        raise ConfigError([Problem(place, error.key, error.what, error.fix, code)]) from None


def _garbage_collect(options: argparse.Namespace, profile: Profile) -> int:
    from reference_registry.config.file import load
    from reference_registry.garbage_collection import collect
    from reference_registry.observability.logs import configure_logging
    from reference_registry.observability.redaction import Redactor, secrets_of

    config = load(_config_path(options, profile), profile=profile)
    configure_logging(config.log, version=__version__, redact=Redactor(secrets_of(config)))
    return collect(
        config,
        profile,
        dry_run=options.dry_run,
        delete_untagged=options.delete_untagged,
        quiet=getattr(options, "quiet", False),
    )


def _htpasswd(options: argparse.Namespace, profile: Profile) -> int:
    from reference_registry.auth.htpasswd_file import hash_password

    if not options.user or not options.user.isprintable() or set(options.user) & set(":#"):
        raise _Misuse("a user's name has neither colon nor # nor control characters", _MISUSE)
    if options.b and options.password is None:
        raise _Misuse("-b wants the password as an argument", _MISUSE)
    password = options.password if options.password is not None else _asked_password()
    try:
        print(f"{options.user}:{hash_password(password)}")
    except ValueError as error:
        raise _Misuse(str(error), _MISUSE) from None
    return 0


def _asked_password() -> str:
    """From the terminal, twice; from a pipe, its first line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    from getpass import getpass

    password = getpass("New password: ")
    if getpass("Re-type new password: ") != password:
        raise _Misuse("the two passwords differ", _MISUSE)
    return password


if __name__ == "__main__":
    sys.exit(main())
