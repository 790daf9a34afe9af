"""``garbage-collect CONFIG``."""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta

from reference_registry import __version__
from reference_registry.clock import SystemClock
from reference_registry.commands import Misuse
from reference_registry.config.durations import parse_duration
from reference_registry.config.file import load
from reference_registry.garbage.collect import Collection, Options, run
from reference_registry.garbage.output import display
from reference_registry.garbage.report import report
from reference_registry.observability.logs import configure_logging
from reference_registry.observability.redaction import Redactor, secrets_of
from reference_registry.profiles import Profile
from reference_registry.storage.store import open_storage

__all__ = ["garbage_collect"]


def garbage_collect(
    path: str,
    profile: Profile,
    *,
    dry_run: bool,
    delete_untagged: bool,
    quiet: bool,
    as_json: bool = False,
    grace: str = "0",
) -> int:
    """Delete what no manifest references, in the storage that the file at *path* describes. What is
    done is told on standard output; *as_json*: on standard error, and summed up as JSON at last."""
    config = load(path, profile=profile)
    wish = Options(dry_run=dry_run, delete_untagged=delete_untagged, grace=_duration(grace))
    told = sys.stderr if as_json else sys.stdout
    began = time.monotonic()
    with display(None if quiet else told, sys.stderr, bar=profile.gc_reports) as shown:
        # Here, so that its lines do not run into the bar.
        configure_logging(config.log, version=__version__, redact=Redactor(secrets_of(config)))
        storage = open_storage(config.storage, profile, SystemClock())
        collection = Collection(storage, wish, shown.emit)
        failure = run(collection, shown.watch)
    if as_json:
        summary = report(collection, seconds=time.monotonic() - began, error=failure)
        print(json.dumps(summary, indent=2))
    if failure is not None:
        sys.stderr.write(f"failed to garbage collect: {failure}")
    return 0 if failure is None else 1


def _duration(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise Misuse(f"--grace: {error}; write it as 1h or 30m") from None
    if found < timedelta(0):
        raise Misuse(f"--grace: {text} is negative; write 0 or a positive duration")
    return found
