"""Short and deterministic by default; ``PULLPROOF_FUZZ_MINUTES=N`` gives each target N minutes of
processor time with random inputs, and prints how many were tried."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.fuzzing import Target

_SECONDS = float(os.environ.get("PULLPROOF_FUZZ_MINUTES") or 0) * 60
_SHORT, _ROUND = 60, 2000
"""Inputs of the short mode, and of one round of the long mode."""
_LONGEST = 5.0
"""Seconds of processor time for one input."""


@pytest.fixture
def fuzz(record_property: Callable[[str, object], None]) -> Callable[[Target], None]:
    """Runs a target."""

    def run(target: Target) -> None:
        tried, begin = 0, time.process_time()

        @settings(
            max_examples=_ROUND if _SECONDS else _SHORT,
            deadline=None,
            database=None,
            derandomize=not _SECONDS,
            suppress_health_check=list(HealthCheck),
        )
        @given(target.inputs)
        def one(value: Any) -> None:
            nonlocal tried
            tried += 1
            _bounded(target, value)

        try:
            one()
            while time.process_time() - begin < _SECONDS:
                one()
        finally:
            spent = (time.process_time() - begin) / 60
            record_property("fuzz", f"{target.name}: {tried} inputs in {spent:.1f} CPU minutes")

    return run


def _bounded(target: Target, value: Any) -> None:
    """Call the function of *target*; it fails if it takes too long, whatever it catches."""
    late = []

    def stop(*_: object) -> None:
        late.append(True)
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, _LONGEST)
    try:
        target.function(value)
    except target.answers:
        pass
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        assert not late, f"{target.name}: more than {_LONGEST} s for one input"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many inputs were tried."""
    if _SECONDS:
        for outcome in ("passed", "failed"):
            for report in terminalreporter.stats.get(outcome, ()):
                for name, text in report.user_properties:
                    if name == "fuzz":
                        terminalreporter.write_line(f"fuzz: {text}")
