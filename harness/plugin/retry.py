"""Runs a scenario again after it failed, so that a flaky cell is known to be flaky."""

from __future__ import annotations

import pytest
from _pytest.runner import runtestprotocol

__all__ = ["EARLIER", "run_with_retries"]

EARLIER: pytest.StashKey[tuple[str, ...]] = pytest.StashKey()
"""Problems of the attempts before the present one, one line each."""


def run_with_retries(item: pytest.Item, nextitem: pytest.Item | None, retries: int) -> None:
    """Run *item*, up to *retries* times more while it fails, and report the last attempt. The
    problems of the earlier ones are in its stash under :data:`EARLIER`."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    properties = list(item.user_properties)
    for left in range(retries, -1, -1):
        item.user_properties = list(properties)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = [report for report in reports if report.failed]
        if not failed or not left:
            break
        problems = tuple(line for report in failed for line in _problems(report))
        item.stash[EARLIER] = (*item.stash.get(EARLIER, ()), *problems)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _problems(report: pytest.TestReport) -> list[str]:
    """What failed in the attempt: the problems of its result, or the last line of the error."""
    from harness.report.transport import result_in

    if result := result_in(report):
        return list(result.problems)
    return [report.longreprtext.strip().rpartition("\n")[2][:300] or f"{report.when} failed"]
