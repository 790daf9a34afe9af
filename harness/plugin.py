"""The pytest plugin: options, fixtures, the marker and the hooks. All logic is elsewhere."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.deviations import (
    DeviationFile,
    DeviationFileError,
    Judgement,
    Verdict,
    suggest_entry,
)
from harness.expectation import Expectations
from harness.lab import Lab, TargetUnderTest
from harness.results import MODEL, Matrix, Result
from harness.scenario import MARKER, Scenario
from harness.targets import DEFAULT_TARGET, Target, TargetError, parse_target
from harness.upstream import MockUpstream

_TARGETS = pytest.StashKey[list[Target]]()
_RESULT = pytest.StashKey[Result]()
_EXPECTATIONS = pytest.StashKey[Expectations]()
_LAB = pytest.StashKey[Lab]()
_STARTED = pytest.StashKey[float]()
_PROPERTY = "pullproof"


class ScenarioFailed(Exception):
    """A target showed something that neither the claim nor the deviations file says."""


# -- options -----------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pullproof", "proving registry caches")
    group.addoption(
        "--target",
        action="append",
        metavar="TARGET",
        dest="pullproof_targets",
        help="what to test: reference[@PROFILE] or binary:PATH; repeatable "
        f"(default: {DEFAULT_TARGET})",
    )
    group.addoption(
        "--pullproof-json",
        metavar="FILE",
        type=Path,
        help="write the matrix, with the conversation of each failure, to FILE",
    )
    group.addoption(
        "--pullproof-catalogue",
        metavar="FILE",
        type=Path,
        help="write the catalogue of the collected scenarios to FILE, as Markdown",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARKER}(scenario): a claim about a cache; put there by @scenario"
    )
    texts = config.getoption("pullproof_targets") or [DEFAULT_TARGET]
    try:
        targets = [parse_target(text) for text in dict.fromkeys(texts)]
        names = [target.name for target in targets]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise TargetError(f"--target: two targets are called {twice}; name each only once")
    except TargetError as error:
        # A mistake in the command line or a missing binary is not a failed test.
        pytest.exit(f"pullproof: {error}", returncode=2)
    config.stash[_TARGETS] = targets
    config.pluginmanager.register(MatrixReporter(config), "pullproof-matrix")


def pytest_sessionstart(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return  # the controller of pytest-xdist has looked already
    try:
        for chosen in session.config.stash[_TARGETS]:
            chosen.check()
    except TargetError as error:
        pytest.exit(f"pullproof: {error}", returncode=2)


# -- collection --------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames and scenario_of(metafunc.definition):
        targets = metafunc.config.stash[_TARGETS]
        metafunc.parametrize("target", targets, ids=[t.name for t in targets], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    declared: dict[str, tuple[Scenario, str]] = {}
    for item in items:
        if found := scenario_of(item):
            place = item.nodeid.partition("[")[0]
            _, first = declared.setdefault(found.id, (found, place))
            if first != place:
                raise pytest.UsageError(f"scenario id {found.id} stands at {first} and at {place}")
    if catalogue := config.getoption("pullproof_catalogue"):
        from harness.report.catalogue import render_catalogue

        directories = {item.path.parent for item in items if scenario_of(item)}
        deviations = [d for where in sorted(directories) for d in _file(where).deviations]
        page = render_catalogue((found for found, _ in declared.values()), deviations)
        catalogue.write_text(page, encoding="utf-8")


def scenario_of(node: pytest.Item) -> Scenario | None:
    """The scenario that *node* proves, or None for an ordinary test."""
    marker = node.get_closest_marker(MARKER)
    return marker.args[0] if marker else None


def _case_of(item: pytest.Item) -> str:
    """The parameters of *item* but for the target, as its id shows them."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return ""
    target = _target_of(item)
    return "-".join(part for part in callspec._idlist if not target or part != target.name)


def _file(directory: Path) -> DeviationFile:
    try:
        return DeviationFile.beside(directory)
    except DeviationFileError as error:
        raise pytest.UsageError(str(error)) from None


# -- fixtures ----------------------------------------------------------------------------------


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Starts upstreams and registries, and stops them at the end of the test."""
    bench = Lab(tmp_path)
    request.node.stash[_LAB] = bench
    yield bench
    bench.close()


@pytest.fixture
def upstream(lab: Lab) -> MockUpstream:
    """An anonymous mock upstream on loopback, listening."""
    return lab.upstream()


@pytest.fixture
def make_upstream(lab: Lab) -> Callable[..., MockUpstream]:
    """Further upstreams, or one with authentication: ``make_upstream(auth=...)``."""
    return lab.upstream


@pytest.fixture
def target(request: pytest.FixtureRequest, lab: Lab) -> TargetUnderTest:
    """What the run tests; a scenario that uses it runs once for each ``--target``."""
    chosen: Target = request.param
    found = scenario_of(request.node)
    needs = found.needs if found else frozenset()
    missing = sorted(need.value for need in needs - chosen.capabilities)
    if missing:
        pytest.skip(f"{chosen.name} does not offer that {' and that '.join(missing)}")
    return TargetUnderTest(chosen, lab)


@pytest.fixture
def expect(request: pytest.FixtureRequest) -> Expectations:
    """Records what the scenario looked at; judged when its function has returned."""
    expectations = Expectations()
    request.node.stash[_EXPECTATIONS] = expectations
    return expectations


# -- running -----------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    found = scenario_of(pyfuncitem)
    if found is None:
        return (yield)
    pyfuncitem.stash[_STARTED] = time.perf_counter()
    try:
        outcome = yield
    except Exception as error:
        problem = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        _conclude(pyfuncitem, found, Judgement(Verdict.FAILS, problems=(problem,)))
        raise
    judgement = _judge(pyfuncitem, found)
    _conclude(pyfuncitem, found, judgement)
    if judgement.verdict is Verdict.FAILS:
        raise ScenarioFailed(_failure_text(pyfuncitem, found, judgement))
    return outcome


def _failure_text(item: pytest.Function, found: Scenario, judgement: Judgement) -> str:
    lines = [found.claim, *judgement.problems]
    expectations = item.stash.get(_EXPECTATIONS, None)
    target = _target_of(item)
    mismatches = expectations.mismatches() if expectations else {}
    if target and mismatches and target.implementation != "pullproof":
        entry = suggest_entry(_key(item, found), target.implementation, target.version, mismatches)
        lines += ["", "Where this is known and has a reference, deviations.toml takes:", entry]
    return "\n".join(lines)


def _judge(item: pytest.Function, found: Scenario) -> Judgement:
    expectations = item.stash.get(_EXPECTATIONS, None)
    if expectations is None or not expectations.findings:
        return Judgement(Verdict.FAILS, problems=("the scenario looked at nothing",))
    target = _target_of(item)
    return _file(item.path.parent).judge(
        _key(item, found),
        expectations.findings,
        target=target.name if target else MODEL,
        implementation=target.implementation if target else MODEL,
        version=target.version if target else MODEL,
    )


def _conclude(item: pytest.Function, found: Scenario, judgement: Judgement) -> None:
    expectations = item.stash.get(_EXPECTATIONS, None)
    result = replace(
        Result.of(found, _case_of(item), _column(item), judgement),
        findings=tuple(expectations.findings) if expectations else (),
        seconds=round(time.perf_counter() - item.stash[_STARTED], 3),
    )
    if judgement.verdict is Verdict.FAILS and _LAB in item.stash:
        result = replace(result, conversation=item.stash[_LAB].conversation())
    item.stash[_RESULT] = result


def _target_of(item: pytest.Item) -> Target | None:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("target") if callspec else None


def _column(item: pytest.Item) -> str:
    chosen = _target_of(item)
    return chosen.name if chosen else MODEL


def _key(item: pytest.Item, found: Scenario) -> str:
    case = _case_of(item)
    return f"{found.id}[{case}]" if case else found.id


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    found = scenario_of(item)
    if found is None:
        return report
    result = item.stash.get(_RESULT, None) if report.when == "call" else None
    if report.skipped and report.when == "setup":
        reason = str(call.excinfo.value) if call.excinfo else ""
        judgement = Judgement(Verdict.NOT_APPLICABLE)
        result = replace(Result.of(found, _case_of(item), _column(item), judgement), reason=reason)
    if result is not None:
        report.user_properties.append((_PROPERTY, result.as_data()))
        if result.conversation:
            report.sections.append(("conversation", result.conversation))
    if call.excinfo and isinstance(call.excinfo.value, ScenarioFailed):
        # The problems and the conversation say it all; our own stack does not.
        report.longrepr = str(call.excinfo.value)
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    if report.when == "call" and report.passed:
        result = _result_in(report)
        if result and result.verdict is Verdict.DEVIATES:
            return "deviates", "d", "DEVIATES"
    return None


def _result_in(report: pytest.TestReport) -> Result | None:
    for name, value in report.user_properties:
        if name == _PROPERTY and isinstance(value, dict):
            return Result.from_data(value)
    return None


# -- reporting ---------------------------------------------------------------------------------


class MatrixReporter:
    """Collects the results, in the controller under pytest-xdist, and shows the matrix."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results: list[Result] = []
        self._excused: set[tuple[str, str]] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if result := _result_in(report):
            self._results.append(result)

    def _matrix(self) -> Matrix:
        return Matrix.of(self._results, [t.name for t in self._config.stash[_TARGETS]])

    def _unequal_twins(self) -> list[str]:
        """Cells in which two targets of one release differ without an entry that says why."""
        matrix = self._matrix()
        targets = self._config.stash[_TARGETS]
        return [
            line
            for left, right in itertools.combinations(targets, 2)
            if (left.implementation, left.version) == (right.implementation, right.version)
            for line in matrix.unequal(left.name, right.name)
        ]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._results and session.exitstatus == pytest.ExitCode.OK and self._unequal_twins():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._results:
            return
        from rich.console import Console

        from harness.report.terminal import comfortable_width, print_matrix

        matrix = self._matrix()
        # Where nobody looks at a screen, such as in CI, lines may be as long as claims want them.
        width = terminalreporter._tw.fullwidth
        if not terminalreporter.isatty:
            width = max(width, comfortable_width(matrix))
        terminalreporter.section("pullproof")
        console = Console(
            file=terminalreporter._tw._file,
            force_terminal=terminalreporter.hasmarkup,
            width=width,
            highlight=False,
        )
        print_matrix(matrix, console)
        for line in self._unequal_twins():
            terminalreporter.write_line(f"NOT ALIKE {line}", red=True)
        if path := self._config.getoption("pullproof_json"):
            from harness.report.json_file import write_json

            write_json(matrix, path)
            terminalreporter.write_line(f"results written to {path}")
