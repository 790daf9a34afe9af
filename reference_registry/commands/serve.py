"""``serve CONFIG``."""

from __future__ import annotations

import asyncio
import logging

from reference_registry import __version__
from reference_registry.commands import MISUSE
from reference_registry.config.file import read
from reference_registry.config.problem import CannotStart, ConfigError, Place, Problem
from reference_registry.config.rules import Reviewed, exposures
from reference_registry.http.hooks import Observer
from reference_registry.observability.access_log import AccessLog
from reference_registry.observability.logs import configure_logging
from reference_registry.observability.redaction import Redactor, secrets_of
from reference_registry.observability.request_log import RequestLog
from reference_registry.profiles import Profile
from reference_registry.server.run import run_until_signalled
from reference_registry.server.server import Server

__all__ = ["serve"]


def serve(path: str, profile: Profile) -> int:
    """Serve the registry that the file at *path* describes, until a signal ends it."""
    found = read(path, profile=profile)
    if found.config is None:
        raise ConfigError(found.errors)
    config = found.config
    redact = Redactor(secrets_of(config))
    configure_logging(config.log, version=__version__, redact=redact)
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
        place = found.places.get(error.key, Place(path))
        code = MISUSE if profile.strict_config else error.released_exit_code
        raise ConfigError([Problem(place, error.key, error.what, error.fix, code)]) from None
