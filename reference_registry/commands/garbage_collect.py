"""``garbage-collect CONFIG``."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import timedelta

from reference_registry import __version__
from reference_registry.commands import Misuse
from reference_registry.config.file import load
from reference_registry.config.units import parse_duration
from reference_registry.garbage.collect import Options
from reference_registry.garbage.online import collect
from reference_registry.garbage.output import display
from reference_registry.observability.logs import configure_logging
from reference_registry.observability.redaction import Redactor, secrets_of
from reference_registry.profiles import Profile

__all__ = ["garbage_collect"]


def garbage_collect(path: str, profile: Profile, flags: argparse.Namespace) -> int:
    """Delete what no manifest refers to in the storage that the file at *path* describes.

    Lines go to standard output; with ``--json`` they go to standard error, and standard output gets
    the report.
    """
    config = load(path, profile=profile)
    options = Options(
        dry_run=flags.dry_run, delete_untagged=flags.delete_untagged, grace=_duration(flags.grace)
    )
    lines = sys.stderr if flags.json else sys.stdout
    with display(None if flags.quiet else lines, sys.stderr, bar=profile.gc_reports) as shown:
        # Inside, so that log lines are printed above the bar.
        configure_logging(config.log, version=__version__, redact=Redactor(secrets_of(config)))
        report = collect(config.storage, profile, options, shown.emit, shown.watch)
    if flags.json:
        print(json.dumps(report, indent=2))
    if report["error"] is not None:
        sys.stderr.write(f"failed to garbage collect: {report['error']}")
    return 0 if report["error"] is None else 1


def _duration(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise Misuse(f"--grace: {error}; write it as 1h or 30m") from None
    if found < timedelta(0):
        raise Misuse(f"--grace: {text} is negative; write 0 or a positive duration")
    return found
