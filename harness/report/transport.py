"""Carries results from the process that ran a scenario to the one that reports.

They travel as plain data in an extra attribute of a test report, which pytest-xdist carries along.
``user_properties`` hold only what a JUnit file is to show.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from harness.compare.data import from_data, to_data
from harness.suite.results import About, Incomplete, Result

if TYPE_CHECKING:
    from harness.compare.trace import Trace
    from harness.report.observed import Observed
    from harness.suite.run import ScenarioRun

T = TypeVar("T")
_ATTRIBUTE = "pullproof"


def attach_result(item: pytest.Item, report: pytest.TestReport, run: ScenarioRun) -> None:
    """Put the result of *run*, and the row of its scenario, into *report*."""
    assert run.result is not None
    file, line, _ = item.location
    scenario = run.scenario
    about = About(
        run.key,
        scenario.claim,
        scenario.level.value,
        scenario.refs,
        scenario.why,
        tuple(sorted(need.value for need in scenario.needs)),
        file.replace("\\", "/"),
        (line or -1) + 1,
    )
    setattr(report, _ATTRIBUTE, {"result": to_data(run.result), "about": to_data(about)})
    # pytest has copied the item's list already, and writes that of the last report.
    item.user_properties += (found := properties(run.result))
    report.user_properties += found


def attach_seen(
    item: pytest.Item, report: pytest.TestReport, run: ScenarioRun, fingerprint: str
) -> None:
    """Put observation and trace of *run*, if kept, into its teardown's *report*."""
    from harness.compare.trace import Trace
    from harness.report.observed import Observed
    from harness.report.options import Wanted
    from harness.suite.deviations import Verdict

    if run.result is None:
        return
    trace = run.trace
    data: dict[str, Any] = {"key": run.key, "target": run.result.target}
    if run.observation is not None:
        place, target = item.path.parent, run.result.target
        applies = run.result.verdict is not Verdict.NOT_APPLICABLE
        seen = Observed(run.key, target, fingerprint, place, run.observation, applies)
        data["observed"] = to_data(seen)
        if trace is None and Wanted.of(item.config).traces:
            trace = Trace.of_observation(run.observation)
    if trace is not None:
        data["trace"] = to_data(trace)
    setattr(report, _ATTRIBUTE, data)


def properties(result: Result) -> list[tuple[str, object]]:
    """The JUnit properties of *result*: names and texts."""
    found = {
        "pullproof.scenario": result.key,
        "pullproof.target": result.target,
        "pullproof.level": result.level,
        "pullproof.verdict": result.verdict.value,
        "pullproof.claim": result.claim,
        "pullproof.references": "; ".join(result.refs),
        "pullproof.deviation": result.does,
        "pullproof.deviation.reference": result.reference,
        "pullproof.reason": result.reason,
        "pullproof.flaky": "; ".join(result.earlier) if result.is_flaky else "",
    }
    return [(name, text) for name, text in found.items() if text]


def add_incomplete(config: pytest.Config, incomplete: Incomplete) -> None:
    """Add a test case with an error to the JUnit file, which would look complete otherwise."""
    from _pytest.junitxml import xml_key

    xml = config.stash.get(xml_key, None)
    if xml is not None:
        report = pytest.TestReport(
            nodeid="pullproof::complete",
            location=("pullproof", None, "complete"),
            keywords={},
            outcome="failed",
            longrepr=f"{incomplete}: the run ended early",
            when="setup",
        )
        xml.add_global_property("pullproof.incomplete", f"{incomplete.done}/{incomplete.planned}")
        xml.pytest_runtest_logreport(report)


def write_junit(session: pytest.Session, incomplete: Incomplete | None) -> None:
    """Write the JUnit file now, if one is wanted, as pytest does when a session ends."""
    from _pytest.junitxml import xml_key

    if incomplete:
        add_incomplete(session.config, incomplete)
    if xml := session.config.stash.get(xml_key, None):
        xml.pytest_sessionfinish()


def write_unstarted_junit(path: Path) -> None:
    """Write the JUnit file of a run that was interrupted before any test."""
    suite = ET.Element("testsuite", name="pytest", tests="1", errors="1")
    case = ET.SubElement(suite, "testcase", classname="pullproof", name="complete")
    problem = f"{Incomplete(0, 0)}: the run ended early"
    ET.SubElement(case, "error", message=problem).text = problem
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def _part(report: pytest.TestReport, name: str, kind: type[T]) -> T | None:
    data = getattr(report, _ATTRIBUTE, None) or {}
    return from_data(kind, data[name]) if name in data else None


def result_in(report: pytest.TestReport) -> Result | None:
    """The result that *report* carries, if it belongs to a scenario."""
    return _part(report, "result", Result)


def about_in(report: pytest.TestReport) -> About | None:
    """The row that *report* carries."""
    return _part(report, "about", About)


def seen_in(report: pytest.TestReport) -> tuple[str, str, Observed | None, Trace | None] | None:
    """The scenario's key, the target, and what the scenario showed, if *report* is of a teardown
    that carries it."""
    data = getattr(report, _ATTRIBUTE, None) or {}
    if "key" not in data:
        return None  # As for every ordinary test: nothing is imported.
    from harness.compare.trace import Trace
    from harness.report.observed import Observed

    observed, trace = _part(report, "observed", Observed), _part(report, "trace", Trace)
    return data["key"], data["target"], observed, trace
