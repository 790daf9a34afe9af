"""The pytest plugin: options, fixtures, the marker and the hooks. All logic is elsewhere.

Every pytest run of an environment with pullproof imports this module. Slow imports (targets, and
the registry behind them) are therefore deferred until a test needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from harness.plugin.retry import EARLIER, run_with_retries
from harness.plugin.target_options import (
    GROUP,
    access_of,
    add_short_names,
    add_target_options,
    rerun_arguments,
)
from harness.report.options import Wanted, add_report_options
from harness.suite.catalogue import Selection
from harness.suite.scenario import MARKER, Scenario

if TYPE_CHECKING:
    from harness.suite.expectation import Expectations
    from harness.suite.lab import Lab, TargetUnderTest
    from harness.suite.run import ScenarioRun
    from harness.system.crashes import SmallDisk
    from harness.targets import Target
    from harness.upstream import MockUpstream

pytest_plugins = [f"{__package__}.fixtures.plugin"]
"""The fixtures for tests of other projects."""

_TARGETS: pytest.StashKey[list[Target]] = pytest.StashKey()
_SELECTION: pytest.StashKey[Selection] = pytest.StashKey()
_RUN: pytest.StashKey[ScenarioRun] = pytest.StashKey()


_CHOOSING = {
    "scenario": "whose id matches this shell pattern",
    "theme": "of this theme",
    "level": "of this level: must, should or info",
    "need": "with this need, such as storage",
}
"""The options that choose scenarios, in the order in which ``Selection.of`` takes them."""


# -- options -----------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup(GROUP, "proving registry caches")
    add_target_options(group)
    for name, what in _CHOOSING.items():
        group.addoption(
            f"--pullproof-{name}",
            action="append",
            default=[],
            metavar=name.upper(),
            help=f"run only scenarios {what}; repeatable",
        )
    group.addoption(
        "--pullproof-real-clients",
        action="store_true",
        help="also run the scenarios with real clients, which start daemons: dockerd, containerd, "
        "podman, skopeo (PULLPROOF_REQUIRE_REAL=1 implies it)",
    )
    group.addoption(
        "--pullproof-retry",
        metavar="N",
        type=int,
        default=1,
        help="run a scenario that fails up to N times more; one that then passes is marked FLAKY "
        "(default: 1)",
    )
    add_report_options(group)
    group.addoption(
        "--pullproof-catalogue",
        metavar="FILE",
        type=Path,
        help="write the catalogue of the collected scenarios to FILE, as Markdown",
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Generator[None, None, None]:
    yield
    add_short_names(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARKER}(scenario): a claim about a cache, set by @scenario"
    )
    config.stash[_TARGETS] = []
    config.stash[_SELECTION] = _selection(config)
    if config.getoption("pullproof_targets") or config.getoption("pullproof_baseline"):
        _targets(config)
    if not hasattr(config, "workerinput"):
        from harness.report.collector import Collector

        wanted = Wanted.of(config)
        if problem := wanted.problem():
            _misused(problem)
        collector = Collector(lambda: _targets(config), wanted, rerun_arguments(config))
        config.pluginmanager.register(collector, "pullproof-collector")


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput"):
        return  # The controller of pytest-xdist checks on behalf of all workers.
    if config.stash[_SELECTION] != Selection():
        from harness.suite.catalogue import declared, suite_directory

        suite = suite_directory()
        named = [Path(config.invocation_params.dir, argument) for argument in config.args]
        if all(path.resolve() == suite.resolve() for path in named):
            _check_selection(config, declared())
    if config.stash[_TARGETS]:
        from harness.targets import TargetError

        try:
            for chosen in config.stash[_TARGETS]:
                chosen.check()
        except TargetError as error:
            _misused(error)


def _check_selection(config: pytest.Config, scenarios: Iterable[Scenario]) -> None:
    try:
        config.stash[_SELECTION].check(scenarios)
    except ValueError as error:
        _misused(error)


def _targets(config: pytest.Config) -> list[Target]:
    """The targets of the run, parsed at the first call."""
    from harness.suite.recording import parse_target
    from harness.targets import DEFAULT_TARGET, TargetError

    targets = config.stash[_TARGETS]
    if not targets:
        texts = list(config.getoption("pullproof_targets") or [DEFAULT_TARGET])
        if baseline := config.getoption("pullproof_baseline"):
            # The baseline is the last column.
            texts = [text for text in texts if text != baseline] + [baseline]
        try:
            access = access_of(config)
            if access.upstream_at is not None and config.getoption("numprocesses", None):
                _misused(
                    "--upstream-at serves the upstream of one scenario at a time; run without "
                    "pytest-xdist's -n (pullproof run: -n 0)"
                )
            targets += [parse_target(text, access) for text in dict.fromkeys(texts)]
        except TargetError as error:
            _misused(error)
        names = [target.name for target in targets]
        if twice := next((name for name in names if names.count(name) > 1), None):
            _misused(f"--target: {twice} is there twice; name each target once")
    return targets


def _selection(config: pytest.Config) -> Selection:
    words = (config.getoption(f"pullproof_{name}") for name in _CHOOSING)
    try:
        return Selection.of(*words)
    except ValueError as error:
        _misused(error)


def _misused(problem: object) -> NoReturn:
    """End the run with exit code 2: a wrong option or a missing target is not a failed test."""
    pytest.exit(f"pullproof: {problem}", returncode=2)


# -- collection --------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames and scenario_of(metafunc.definition):
        targets = _targets(metafunc.config)
        metafunc.parametrize("target", targets, ids=[t.name for t in targets], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selection = config.stash[_SELECTION]
    if selection != Selection():
        if not hasattr(config, "workerinput"):
            _check_selection(config, filter(None, map(scenario_of, items)))
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


def _observes(config: pytest.Config) -> bool:
    """Whether the run records or compares all that targets show."""
    return bool(config.getoption("pullproof_baseline") or config.getoption("pullproof_record"))


def _is_recorded(run: ScenarioRun) -> bool:
    from harness.suite.recording import RecordingTarget

    return isinstance(run.target, RecordingTarget)


def _fingerprint(item: pytest.Item) -> str:
    from harness.suite.recording import fingerprint

    return fingerprint(item.function) if isinstance(item, pytest.Function) else ""


# -- fixtures ----------------------------------------------------------------------------------


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Starts upstreams and registries, and stops them at the end of the test."""
    from harness.suite.lab import Lab

    run = request.node.stash.get(_RUN, None)
    traces = run is not None and Wanted.of(request.config).traces
    bench = Lab(tmp_path, traces=traces)
    if run is not None:
        run.lab = bench
    yield bench
    observes = run is not None and _observes(request.config)
    if observes and request.session.exitstatus != pytest.ExitCode.INTERRUPTED:
        bench.settle()
    bench.close()
    if run is not None and observes:
        run.observation = bench.observe()
    if run is not None and traces:
        run.trace = bench.trace()


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
    retries = item.config.getoption("pullproof_retry")
    if retries < 1 or scenario_of(item) is None:
        return None
    run_with_retries(item, nextitem, retries)
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    if found := scenario_of(item):
        from harness.suite.run import ScenarioRun

        callspec = getattr(item, "callspec", None)
        chosen = callspec.params.get("target") if callspec else None
        ids = callspec._idlist if callspec else ()
        case = "-".join(part for part in ids if not chosen or part != chosen.name)
        earlier = item.stash.get(EARLIER, ())
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
    from harness.suite.run import ScenarioFailed

    if report.when == "teardown":
        attach_seen(item, report, run, _fingerprint(item))
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
