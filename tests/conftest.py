"""Shared by the project's own tests."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import hypothesis
import pytest

pytest_plugins = ["pytester", "tests.unit.models.options"]

# A shell starts what it runs in the background with SIGINT ignored, and children inherit that: the
# tests of Ctrl-C would then test nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("pullproof", deadline=None)
hypothesis.settings.load_profile("pullproof")


class _Unheeded(logging.Handler):
    """Keeps asyncio's reports of exceptions that were never retrieved."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "never retrieved" in record.getMessage():
            self.said.append(record.getMessage())


_unheeded = _Unheeded()
logging.getLogger("asyncio").addHandler(_unheeded)


@pytest.fixture(autouse=True)
def _no_exception_goes_unheeded() -> Iterator[None]:
    """asyncio tells of them when garbage is collected, which may be in a later test than the one
    that left them. It formats a traceback then; in the midst of parsing, that breaks the parser of
    CPython 3.11 (python/cpython#106905)."""
    yield
    if _unheeded.said:
        said, _unheeded.said = _unheeded.said, []
        pytest.fail("left by this test or one before it: " + "; ".join(said))
