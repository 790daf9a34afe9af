"""The pytest plugin: options, fixtures, the marker and the hooks. All logic is elsewhere.

Every pytest run of an environment that has pullproof imports this module, so what is slow to
import (targets, and the registry behind them) is imported when a test first asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from harness.plugin.target_options import GROUP, access_of, add_short_names, add_target_options
from harness.report.options import Wanted, add_report_options
from harness.suite.catalogue import Selection
from harness.suite.scenario import MARKER, Scenario

if TYPE_CHECKING:
    from harness.suite.expectation import Expectations
    from harness.suite.lab import Lab, TargetUnderTest
    from harness.suite.run import ScenarioRun
    from harness.system.small_disk import SmallDisk
    from harness.targets import Target
    from harness.upstream import MockUpstream

pytest_plugins = [f"{__package__}.fixtures.plugin"]
"""The fixtures for other people's tests."""

_TARGETS: pytest.StashKey[list[Target]] = pytest.StashKey()
_SELECTION: pytest.StashKey[Selection] = pytest.StashKey()
_PROOF: pytest.StashKey[ScenarioRun] = pytest.StashKey()


_CHOOSING = {
    "scenario": "whose id matches, a pattern as of a shell",
    "theme": "of this theme",
    "level": "of this level: must, should or info",
    "need": "that need this of a target, such as storage",
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
        help="run the scenarios of real clients too, which start daemons: dockerd, containerd, "
        "podman, skopeo (PULLPROOF_REQUIRE_REAL=1 implies it)",
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
        "markers", f"{MARKER}(scenario): a claim about a cache; put there by @scenario"
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
        collector = Collector(lambda: _targets(config), wanted)
        config.pluginmanager.register(collector, "pullproof-collector")


def pytest_sessionstart(session: pytest.Session) -> None:
    # Under pytest-xdist the controller looks, on behalf of all.
    if session.config.stash[_TARGETS] and not hasattr(session.config, "workerinput"):
        from harness.targets import TargetError

        try:
            for chosen in session.config.stash[_TARGETS]:
                chosen.check()
        except TargetError as error:
            _misused(error)


def _targets(config: pytest.Config) -> list[Target]:
    """The targets of the run, from the first time that somebody asks for them."""
    from harness.suite.recording import parse_target
    from harness.targets import DEFAULT_TARGET, TargetError

    targets = config.stash[_TARGETS]
    if not targets:
        texts = list(config.getoption("pullproof_targets") or [DEFAULT_TARGET])
        if baseline := config.getoption("pullproof_baseline"):
            # It is a column like the others; that it is the last one makes it the baseline.
            texts = [text for text in texts if text != baseline] + [baseline]
        try:
            access = access_of(config)
            if access.upstream_at is not None and config.getoption("numprocesses", None):
                _misused(
                    "--upstream-at is one address, where one scenario's upstream answers at a "
                    "time; run without pytest-xdist's -n (pullproof run: -n 0)"
                )
            targets += [parse_target(text, access) for text in dict.fromkeys(texts)]
        except TargetError as error:
            _misused(error)
        names = [target.name for target in targets]
        if twice := next((name for name in names if names.count(name) > 1), None):
            _misused(f"--target: two targets are called {twice}; name each only once")
    return targets


def _selection(config: pytest.Config) -> Selection:
    words = (config.getoption(f"pullproof_{name}") for name in _CHOOSING)
    try:
        return Selection.of(*words)
    except ValueError as error:
        raise pytest.UsageError(f"pullproof: {error}") from error


def _misused(problem: object) -> NoReturn:
    """A mistake in the command line, or a missing binary, is not a failed test."""
    pytest.exit(f"pullproof: {problem}", returncode=2)


# -- collection --------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames and scenario_of(metafunc.definition):
        targets = _targets(metafunc.config)
        metafunc.parametrize("target", targets, ids=[t.name for t in targets], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selection = config.stash[_SELECTION]
    if selection != Selection():
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
                raise pytest.UsageError(f"scenario id {found.id} stands at {first} and at {place}")
    if catalogue := config.getoption("pullproof_catalogue"):
        from harness.report.markdown import render_catalogue
        from harness.suite.deviations import DeviationFile

        places = sorted({item.path.parent for item in items if scenario_of(item)})
        deviations = [d for place in places for d in DeviationFile.beside(place).deviations]
        page = render_catalogue((found for found, _ in declared.values()), deviations)
        catalogue.write_text(page, encoding="utf-8")


def scenario_of(node: pytest.Item) -> Scenario | None:
    """The scenario that *node* proves, or None for an ordinary test."""
    marker = node.get_closest_marker(MARKER)
    return marker.args[0] if marker else None


def _observes(config: pytest.Config) -> bool:
    """Whether somebody will ask for more than what scenarios look at."""
    return bool(config.getoption("pullproof_baseline") or config.getoption("pullproof_record"))


def _is_recorded(proof: ScenarioRun) -> bool:
    from harness.suite.recording import RecordingTarget

    return isinstance(proof.target, RecordingTarget)


def _fingerprint(item: pytest.Item) -> str:
    from harness.suite.recording import fingerprint

    return fingerprint(item.function) if isinstance(item, pytest.Function) else ""


# -- fixtures ----------------------------------------------------------------------------------


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Starts upstreams and registries, and stops them at the end of the test."""
    from harness.suite.lab import Lab

    proof = request.node.stash.get(_PROOF, None)
    traces = proof is not None and Wanted.of(request.config).traces
    bench = Lab(tmp_path, traces=traces)
    if proof is not None:
        proof.lab = bench
    yield bench
    observes = proof is not None and _observes(request.config)
    if observes:
        bench.settle()
    bench.close()
    if proof is not None and observes:
        proof.observation = bench.observe()
    if proof is not None and traces:
        proof.trace = bench.trace()


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
    from harness.suite.lab import TargetUnderTest

    proof = request.node.stash.get(_PROOF, None)
    if proof and proof.missing_needs:
        needs = " and that ".join(proof.missing_needs)
        pytest.skip(f"{request.param.name} does not offer that {needs}")
    return TargetUnderTest(request.param, lab, proof.scenario.needs if proof else ())


@pytest.fixture
def small_disk(lab: Lab) -> SmallDisk:
    """A file system of 2 MiB for ``target.proxy(upstream, root=small_disk.root)``. Where there can
    be none the test is skipped, or fails if real parts are demanded."""
    return lab.small_disk(2 * 1024 * 1024)


@pytest.fixture
def expect(request: pytest.FixtureRequest) -> Expectations:
    """Records what the scenario looked at; judged when its function has returned."""
    from harness.suite.expectation import Expectations

    proof = request.node.stash.get(_PROOF, None)
    return proof.expectations if proof else Expectations()


# -- running -----------------------------------------------------------------------------------


def pytest_runtest_setup(item: pytest.Item) -> None:
    if found := scenario_of(item):
        from harness.suite.run import ScenarioRun

        callspec = getattr(item, "callspec", None)
        chosen = callspec.params.get("target") if callspec else None
        ids = callspec._idlist if callspec else ()
        case = "-".join(part for part in ids if not chosen or part != chosen.name)
        item.stash[_PROOF] = proof = ScenarioRun(found, case, chosen, item.path.parent)
        if _is_recorded(proof) and isinstance(item, pytest.Function):
            item.fixturenames = []  # Nothing runs, so that nothing has to be set up.


@pytest.hookimpl(tryfirst=True, specname="pytest_pyfunc_call")
def pytest_replay_recorded(pyfuncitem: pytest.Function) -> object | None:
    proof = pyfuncitem.stash.get(_PROOF, None)
    if proof is None or not _is_recorded(proof):
        return None
    from harness.suite.recording import fingerprint

    if reason := proof.replay(fingerprint(pyfuncitem.function)):
        pytest.skip(reason)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    """A fixture may launch what a scenario needs, and find that the target does not offer it."""
    try:
        return (yield)
    except Exception as lacking:
        from harness.targets import NotOffered

        if not isinstance(lacking, NotOffered):
            raise
        pytest.skip(str(lacking))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    proof = pyfuncitem.stash.get(_PROOF, None)
    if proof is None or _is_recorded(proof):
        return (yield)
    from harness.targets import NotOffered

    try:
        outcome = yield
    except NotOffered as lacking:
        pytest.skip(str(lacking))
    except Exception as error:
        proof.broke(error)
        raise
    proof.conclude()
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    proof = item.stash.get(_PROOF, None)
    if proof is None:
        return report
    from harness.report.transport import attach_result, attach_seen
    from harness.suite.run import ScenarioFailed

    if report.when == "teardown":
        attach_seen(item, report, proof, _fingerprint(item))
        return report
    if report.skipped and proof.result is None:
        proof.skipped(str(call.excinfo.value) if call.excinfo else "")
    if proof.result is not None:
        attach_result(item, report, proof)
        if proof.result.conversation:
            report.sections.append(("conversation", proof.result.conversation))
    if call.excinfo and isinstance(call.excinfo.value, ScenarioFailed):
        # The problems and the conversation say it all; our own stack does not.
        report.longrepr = str(call.excinfo.value)
    return report
