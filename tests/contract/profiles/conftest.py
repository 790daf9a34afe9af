"""The releases whose rows are proven: as profiles of the reference, and as real binaries.

Plain runs ask the four profiles and, for 2.8, the installed docker-registry.
``--profile-binary 3.0=PATH`` (repeatable) asks binaries instead: that proves the table itself.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from harness.suite.lab import Lab
from harness.system.real_parts import real_part
from harness.targets import Target, TargetError, parse_target
from tests.contract.profiles.bench import Bench
from tests.contract.profiles.table import RELEASES

_INSTALLED = "docker-registry"
"""Debian's registry is a 2.8."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--profile-binary",
        action="append",
        metavar="RELEASE=PATH",
        dest="profile_binaries",
        help=f"ask this binary for the rows of RELEASE ({', '.join(RELEASES)}), and no profile",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(number, slow): the row that a test proves")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bench" not in metafunc.fixturenames:
        return
    binaries = metafunc.config.getoption("profile_binaries", None)
    if binaries:
        columns = [_named(text) for text in binaries]
    else:
        columns = [(release, f"reference@{release}") for release in RELEASES]
        marker = metafunc.definition.get_closest_marker("row")
        if marker is None or not marker.kwargs["slow"]:
            columns.append(("2.8", _INSTALLED))
    metafunc.parametrize("bench", columns, ids=[_id(*column) for column in columns], indirect=True)


def _named(text: str) -> tuple[str, str]:
    release, equals, path = text.partition("=")
    if release not in RELEASES or not equals:
        raise pytest.UsageError(f"--profile-binary {text}: {', '.join(RELEASES)}, = and a path")
    return release, f"binary:{path}"


def _id(release: str, target: str) -> str:
    return release if target.startswith("reference@") else f"real {release}"


def _target(text: str) -> Target:
    if text == _INSTALLED:
        text = f"binary:{real_part(_INSTALLED)}"
    try:
        return parse_target(text)
    except TargetError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture
def bench(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> Bench:
    """One release on a bench of the test's own."""
    release, target = request.param
    return Bench(release, _target(target), lab, tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    lab = item.funcargs.get("lab")
    if report.when == "call" and report.failed and isinstance(lab, Lab):
        report.sections.append(("conversation", lab.conversation()))
    return report
