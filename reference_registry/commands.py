"""The commands of ``pullproof-registry``. Each returns its exit code.

Each imports what it needs when it runs, because ``serve`` must start quickly and the others are
short. A command that reads a configuration raises
:class:`reference_registry.config.problem.ConfigError` if it cannot be used.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from reference_registry.config import Config
from reference_registry.config.file import load, read
from reference_registry.config.problem import CannotStart, ConfigError, Place, Problem
from reference_registry.config.proxy import upstreams_of
from reference_registry.config.units import parse_duration
from reference_registry.profiles import Profile

if TYPE_CHECKING:  # slow to import
    from reference_registry.proxy.expiry.schedule import ScheduleEntry

PROGRAM = "pullproof-registry"
MISUSE = 2
"""Exit code for wrong arguments, and for a configuration that ``ideal`` refuses."""


class Misuse(Exception):
    """Wrong arguments. A release reports them and exits with 0."""

    def __init__(self, message: str, exit_code: int = MISUSE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def serve(options: Namespace, profile: Profile) -> int:
    """Serve the registry that ``options.config`` describes, until a signal ends it."""
    import asyncio
    import logging

    from reference_registry.config.rules import Reviewed, exposures
    from reference_registry.http.hooks import Observer
    from reference_registry.observability.logs import AccessLog, RequestLog, configure_logging
    from reference_registry.server.server import Server, run_until_signalled

    found = read(options.config, profile=profile)
    if found.config is None:
        raise ConfigError(found.errors)
    config = found.config
    redact = configure_logging(config)
    log = logging.getLogger(__name__)
    given = Reviewed(config, profile, found.source, found.places)
    exposed = exposures(given) if profile.warns_of_exposure else ()
    for warning in (*found.warnings, *exposed):
        log.warning("%s", warning)

    observers: list[Observer] = [RequestLog()]
    if not config.log.accesslog_disabled:
        observers.append(AccessLog(redact))

    async def run() -> int:
        return await run_until_signalled(Server(config, profile=profile, observers=observers))

    try:
        return asyncio.run(run())
    except CannotStart as error:
        place = found.places.get(error.key, Place(options.config))
        code = MISUSE if profile.strict_config else error.released_exit_code
        raise ConfigError([Problem(place, error.key, error.what, error.fix, code)]) from None


def garbage_collect(options: Namespace, profile: Profile) -> int:
    """Delete blobs that no manifest references from the storage of ``options.config``.

    Lines go to standard output; with ``--json`` they go to standard error, and standard output gets
    the report.
    """
    import json

    from reference_registry.garbage.collect import Options
    from reference_registry.garbage.online import collect
    from reference_registry.garbage.output import display
    from reference_registry.observability.logs import configure_logging

    config = load(options.config, profile=profile)
    wanted = Options(
        dry_run=options.dry_run,
        delete_untagged=options.delete_untagged,
        grace=_grace(options.grace),
    )
    lines = sys.stderr if options.json else sys.stdout
    with display(None if options.quiet else lines, sys.stderr, bar=profile.gc_reports) as shown:
        # Inside, so that log lines are printed above the bar.
        configure_logging(config)
        report = collect(config.storage, profile, wanted, *shown)
    if options.json:
        print(json.dumps(report, indent=2))
    if report["error"] is not None:
        sys.stderr.write(f"failed to garbage collect: {report['error']}")
    return 0 if report["error"] is None else 1


def _grace(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise Misuse(f"--grace: {error}; write it as 1h or 30m") from None
    if found < timedelta(0):
        raise Misuse(f"--grace: {text} is negative; write 0 or a positive duration")
    return found


def check_config(options: Namespace, profile: Profile) -> int:
    """Explain ``options.config`` on standard output, with warnings, which are not errors."""
    import textwrap

    from reference_registry.config.explanation import explain
    from reference_registry.config.rules import Reviewed, review

    found = read(options.config, profile=profile)
    if found.config is None:
        raise ConfigError(found.errors)
    for subject, text in explain(found.config, profile):
        lines = textwrap.wrap(text, 86, break_long_words=False, break_on_hyphens=False)
        print(f"{subject:<14}" + f"\n{'':14}".join(lines))
    reviewed = review(Reviewed(found.config, profile, found.source, found.places))
    warnings = [*found.warnings, *found.overlooked, *reviewed]
    print()
    for warning in sorted(warnings, key=lambda problem: problem.place.line or 0):
        print(f"{warning} [{warning.rule}]")
    counted = {0: "nothing to warn of", 1: "1 warning"}
    total = counted.get(len(warnings), f"{len(warnings)} warnings")
    print(f"{found.source}: can be served, {total}")
    return 0


def htpasswd(options: Namespace, profile: Profile) -> int:
    """Print a line for the file that ``auth.htpasswd`` names: ``options.user`` and the hash of
    ``options.password``, which is read from standard input if it is missing."""
    from reference_registry.auth.htpasswd import hash_password

    user = options.user
    if not user or not user.isprintable() or set(user) & set(":#"):
        raise Misuse("a user's name has neither colon nor # nor control characters")
    if options.b and options.password is None:
        raise Misuse("-b wants the password as an argument")
    password = _asked_password() if options.password is None else options.password
    try:
        print(f"{user}:{hash_password(password)}")
    except ValueError as error:
        raise Misuse(str(error)) from None
    return 0


def _asked_password() -> str:
    """From the terminal, twice; from a pipe, its first line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    from getpass import getpass

    password = getpass("New password: ")
    if getpass("Re-type new password: ") != password:
        raise Misuse("the two passwords differ")
    return password


# -- schedule -----------------------------------------------------------------------------------
def schedule(options: Namespace, profile: Profile) -> int:
    """Print when the content of the cache in ``options.config`` expires, soonest first.

    1 if the state file cannot be read.
    """
    import json

    from reference_registry.proxy.expiry.schedule import STATE_FILE, StateUnreadable, parse_state

    config = load(options.config, profile=profile)
    state = config.storage.rootdirectory / STATE_FILE[1:]
    note, entries = _why_nothing(config), []
    if note is None:
        try:
            note = f"{state}: nothing is scheduled"
            parsed = parse_state(state.read_bytes())
            if parsed is None:
                raise StateUnreadable("null")
            entries = sorted(parsed, key=lambda entry: (entry.moment.nanoseconds, entry.key))
        except FileNotFoundError:
            note = f"{state}: not there, nothing is scheduled"
        except (OSError, StateUnreadable) as error:
            what = error.strerror if isinstance(error, OSError) else f"damaged: {error}"
            print(f"{PROGRAM}: {state}: {what}", file=sys.stderr)
            return 1
    now = datetime.now(UTC)
    if options.json:
        print(json.dumps([_document(entry, now) for entry in entries], indent=2))
    elif entries:
        print(*table(entries, now), sep="\n")
    if not entries:
        print(note, file=sys.stderr if options.json else sys.stdout)
    return 0


def _why_nothing(config: Config) -> str | None:
    """Why there cannot be a schedule, if so."""
    if config.proxy is None:
        return "not a cache, nothing expires"
    if all(upstream.ttl is None for _, _, upstream in upstreams_of(config.proxy)):
        return "proxy.ttl is 0, nothing expires"
    if config.storage.driver == "inmemory":
        return "in memory, the schedule is known to the running registry alone"
    return None


def table(entries: Iterable[ScheduleEntry], now: datetime) -> Iterator[str]:
    """*entries* as lines with a heading, moments in local time."""
    yield f"{'EXPIRES':<25}  {'IN':>8}  {'KIND':<8}  CONTENT"
    for entry in entries:
        moment = entry.moment.as_datetime()
        try:
            local = moment.astimezone().isoformat(" ", "seconds")
        except (OverflowError, OSError):  # beyond the calendar
            local = str(entry.moment)
        left = _time_left(moment - now)
        key = entry.key if entry.key.isprintable() else ascii(entry.key)
        yield f"{local:<25}  {left:>8}  {_kind(entry):<8}  {key}"


def _kind(entry: ScheduleEntry) -> str:
    from reference_registry.proxy.expiry.schedule import BLOB, MANIFEST

    return {BLOB: "blob", MANIFEST: "manifest"}.get(entry.kind, f"type {entry.kind}")


def _document(entry: ScheduleEntry, now: datetime) -> dict[str, object]:
    """*entry* for ``--json``."""
    repository, digest = entry.target() or (None, None)
    left = (entry.moment.as_datetime() - now).total_seconds()
    return {
        "key": entry.key,
        "repository": repository,
        "digest": digest,
        "kind": _kind(entry),
        "expires": str(entry.moment),
        "seconds_left": round(left, 3),
        "overdue": left <= 0,
    }


def _time_left(left: timedelta) -> str:
    """The two largest units of *left*: ``6d 23h``, ``1h 5m``, ``42s``; or ``overdue``."""
    if left <= timedelta(0):
        return "overdue"
    minutes, seconds = divmod(int(left.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {seconds}s" if minutes else f"{seconds}s"
