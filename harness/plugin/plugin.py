"""The pytest plugin: options, fixtures, the marker and the hooks. All logic is elsewhere.

Every pytest run of an environment with pullproof imports this module. Slow imports (targets, and
the registry behind them) are therefore deferred until a test needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol

from harness.plugin.options import (
    GROUP,
    SELECTION,
    TARGETS,
    add_short_names,
    add_target_options,
    check_selection,
    misused,
    read_options,
    rerun_arguments,
    targets_of,
)
from harness.report.options import Wanted, add_report_options
from harness.suite.catalogue import Selection
from harness.suite.scenario import MARKER, Scenario

if TYPE_CHECKING:
    from harness.suite.expectation import Expectations
    from harness.suite.lab import Lab, TargetUnderTest
    from harness.suite.run import ScenarioRun
    from harness.system.crashes import SmallDisk
    from harness.upstream import MockUpstream

pytest_plugins = [f"{__package__}.fixtures.plugin"]
"""The fixtures for tests of other projects."""

_RUN: pytest.StashKey[ScenarioRun] = pytest.StashKey()
_EARLIER: pytest.StashKey[tuple[str, ...]] = pytest.StashKey()
"""Problems of the attempts before the present one, one line each."""


# -- options -----------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup(GROUP, "proving registry caches")
    add_target_options(group)
    add_report_options(group)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Generator[None, None, None]:
    yield
    add_short_names(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARKER}(scenario): a claim about a cache, set by @scenario"
    )
    read_options(config)
    if not hasattr(config, "workerinput"):
        from harness.report.collector import Collector

        wanted = Wanted.of(config)
        if problem := wanted.problem():
            misused(problem)
        collector = Collector(lambda: targets_of(config), wanted, rerun_arguments(config))
        config.pluginmanager.register(collector, "pullproof-collector")


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput"):
        return  # The controller of pytest-xdist checks on behalf of all workers.
    if config.stash[SELECTION] != Selection():
        from harness.suite.catalogue import declared, suite_directory

        suite = suite_directory()
        named = [Path(config.invocation_params.dir, argument) for argument in config.args]
        if all(path.resolve() == suite.resolve() for path in named):
            check_selection(config, declared())
    if config.stash[TARGETS]:
        from harness.targets import TargetError

        try:
            for chosen in config.stash[TARGETS]:
                chosen.check()
        except TargetError as error:
            misused(error)


# -- collection --------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames and scenario_of(metafunc.definition):
        targets = targets_of(metafunc.config)
        metafunc.parametrize("target", targets, ids=[t.name for t in targets], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selection = config.stash[SELECTION]
    if selection != Selection():
        if not hasattr(config, "workerinput"):
            check_selection(config, filter(None, map(scenario_of, items)))
        chosen: list[pytest.Item] = []
        others: list[pytest.Item] = []
        for item in items:
            scenario = scenario_of(item)
            (chosen if scenario and selection.chooses(scenario) else others).append(item)
        config.hook.pytest_deselected(items=others)
        items[:] = chosen
    declared: dict[str, tuple[Scenario, str]] = {}
    for item in items:
        if found := scenario_of(item):
            place = item.nodeid.partition("[")[0]
            _, first = declared.setdefault(found.id, (found, place))
            if first != place:
                raise pytest.UsageError(f"scenario id {found.id} is used by {first} and {place}")
    if catalogue := config.getoption("pullproof_catalogue"):
        from harness.report.markdown import render_catalogue
        from harness.suite.deviations import DeviationFile

        places = sorted({item.path.parent for item in items if scenario_of(item)})
        deviations = [d for place in places for d in DeviationFile.beside(place).deviations]
        page = render_catalogue((found for found, _ in declared.values()), deviations)
        catalogue.write_text(page, encoding="utf-8")


def scenario_of(node: pytest.Item) -> Scenario | None:
    """The scenario that *node* tests, or None for an ordinary test."""
    marker = node.get_closest_marker(MARKER)
    return marker.args[0] if marker else None


def _is_recorded(run: ScenarioRun) -> bool:
    from harness.suite.recording import RecordingTarget

    return isinstance(run.target, RecordingTarget)


# -- fixtures ----------------------------------------------------------------------------------


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Starts upstreams and registries, and stops them at the end of the test."""
    from harness.suite.lab import Lab

    run, wanted = request.node.stash.get(_RUN, None), Wanted.of(request.config)
    lab = Lab(tmp_path, traces=run is not None and wanted.traces)
    if run is None:
        yield lab
        lab.close()
        return
    run.lab = lab
    yield lab
    observes = wanted.baseline or wanted.record
    if observes and request.session.exitstatus != pytest.ExitCode.INTERRUPTED:
        lab.settle()
    lab.close()
    run.observation = lab.observe() if observes else None
    run.trace = lab.trace() if wanted.traces else None


@pytest.fixture
def upstream(lab: Lab) -> MockUpstream:
    """An anonymous mock upstream on loopback, listening."""
    return lab.upstream()


@pytest.fixture
def make_upstream(lab: Lab) -> Callable[..., MockUpstream]:
    """Starts more upstreams, or one with authentication: ``make_upstream(auth=...)``."""
    return lab.upstream


@pytest.fixture
def target(request: pytest.FixtureRequest, lab: Lab) -> TargetUnderTest:
    """The target under test; a scenario that uses it runs once for each ``--target``."""
    from harness.suite.lab import TargetUnderTest

    run = request.node.stash.get(_RUN, None)
    if run and run.missing_needs:
        needs = " and that ".join(run.missing_needs)
        pytest.skip(f"{request.param.name} does not offer that {needs}")
    return TargetUnderTest(request.param, lab, run.scenario.needs if run else ())


@pytest.fixture
def small_disk(lab: Lab) -> SmallDisk:
    """A file system of 2 MiB for ``target.proxy(upstream, root=small_disk.root)``. Where it cannot
    be made, the test is skipped, or fails if real parts are required."""
    return lab.small_disk(2 * 1024 * 1024)


@pytest.fixture
def expect(request: pytest.FixtureRequest) -> Expectations:
    """Records what the scenario observes; judged after its function has returned."""
    from harness.suite.expectation import Expectations

    run = request.node.stash.get(_RUN, None)
    return run.expectations if run else Expectations()


# -- running -----------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> object | None:
    """Run a scenario again while it fails, and report the last attempt: a flaky cell is marked."""
    retries = item.config.getoption("pullproof_retry")
    if retries < 1 or scenario_of(item) is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    properties = list(item.user_properties)
    for left in range(retries, -1, -1):
        item.user_properties = list(properties)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = [report for report in reports if report.failed]
        if not failed or not left:
            break
        problems = tuple(line for report in failed for line in _problems(report))
        item.stash[_EARLIER] = (*item.stash.get(_EARLIER, ()), *problems)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _problems(report: pytest.TestReport) -> list[str]:
    """What failed in the attempt: the problems of its result, or the last line of the error."""
    from harness.report.transport import result_in

    if result := result_in(report):
        return list(result.problems)
    return [report.longreprtext.strip().rpartition("\n")[2][:300] or f"{report.when} failed"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if found := scenario_of(item):
        from harness.suite.run import ScenarioRun

        callspec = getattr(item, "callspec", None)
        chosen = callspec.params.get("target") if callspec else None
        ids = callspec._idlist if callspec else ()
        case = "-".join(part for part in ids if not chosen or part != chosen.name)
        earlier = item.stash.get(_EARLIER, ())
        item.stash[_RUN] = run = ScenarioRun(found, case, chosen, item.path.parent, earlier)
        if _is_recorded(run) and isinstance(item, pytest.Function):
            item.fixturenames = []  # Nothing runs, so nothing has to be set up.


@pytest.hookimpl(tryfirst=True, specname="pytest_pyfunc_call")
def pytest_replay_recorded(pyfuncitem: pytest.Function) -> object | None:
    run = pyfuncitem.stash.get(_RUN, None)
    if run is None or not _is_recorded(run):
        return None
    from harness.suite.recording import fingerprint

    if reason := run.replay(fingerprint(pyfuncitem.function)):
        pytest.skip(reason)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    """Skip the test where a fixture finds that the target does not offer what it needs."""
    try:
        return (yield)
    except Exception as lacking:
        from harness.targets import NotOffered

        if not isinstance(lacking, NotOffered):
            raise
        pytest.skip(str(lacking))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    run = pyfuncitem.stash.get(_RUN, None)
    if run is None or _is_recorded(run):
        return (yield)
    from harness.targets import NotOffered

    try:
        outcome = yield
    except NotOffered as lacking:
        pytest.skip(str(lacking))
    except Exception as error:
        run.broke(error)
        raise
    run.conclude()
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    run = item.stash.get(_RUN, None)
    if run is None:
        return report
    from harness.report.transport import attach_result, attach_seen
    from harness.suite.recording import fingerprint
    from harness.suite.run import ScenarioFailed

    if report.when == "teardown":
        code = fingerprint(item.function) if isinstance(item, pytest.Function) else ""
        attach_seen(item, report, run, code)
        return report
    if report.skipped and run.result is None:
        run.skipped(str(call.excinfo.value) if call.excinfo else "")
    if run.result is not None:
        attach_result(item, report, run)
        if run.result.conversation:
            report.sections.append(("conversation", run.result.conversation))
    if call.excinfo and isinstance(call.excinfo.value, ScenarioFailed):
        # The problems and the conversation explain the failure; the stack does not.
        report.longrepr = str(call.excinfo.value)
    return report
