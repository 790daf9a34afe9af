"""Fixtures of the scenarios: the usual image, and real clients.

Real clients are started once for each process of the run, and are emptied for each scenario. They
start daemons that need root and take seconds, so they run only on request: with
``--pullproof-real-clients``, or with ``PULLPROOF_REQUIRE_REAL=1``, which fails instead of skipping
where a client is missing. They send their requests in an order of their own, so they take no part
in comparisons and recordings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.clients.authority import Authority
from harness.clients.containerd import Containerd
from harness.clients.containers import Podman, Skopeo
from harness.clients.dockerd import DockerDaemon
from harness.clients.source_network import SourceNetwork
from harness.content import Image, an_image
from harness.system.real_parts import REQUIRED
from harness.upstream import MockUpstream
from scenarios.real_clients import HUB, SOURCE


def pytest_xdist_auto_num_workers() -> int | None:
    """``-n auto``: three workers for two cores, since scenarios wait more than they compute."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return max(1, (os.cpu_count() or 1) * 3 // 2)


@pytest.fixture
def image(upstream: MockUpstream) -> Image:
    """An image of two layers, which the upstream has as ``team/app:v1``."""
    return upstream.add("team/app", an_image(), tags=("v1",))


@pytest.fixture(scope="session")
def real_clients(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The directory of all real clients, with a short path for their sockets."""
    config = request.config
    if not (config.getoption("pullproof_real_clients") or os.environ.get(REQUIRED) == "1"):
        pytest.skip("real clients are started with --pullproof-real-clients only")
    if config.getoption("pullproof_baseline") or config.getoption("pullproof_record"):
        pytest.skip("real clients ask in an order of their own: nothing to compare or record")
    with TemporaryDirectory(prefix="pp-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def internet(real_clients: Path) -> Iterator[SourceNetwork]:
    """What lies behind the names of :mod:`scenarios.real_clients`; leads nowhere at first."""
    network = SourceNetwork(Authority(real_clients, [HUB, SOURCE]))
    network.start()
    yield network
    network.stop()


@pytest.fixture(scope="session")
def dockerd(real_clients: Path, internet: SourceNetwork) -> Iterator[DockerDaemon]:
    """The daemon of all scenarios; use :func:`docker`."""
    daemon = DockerDaemon(_below(real_clients, "d"), internet.environment())
    yield daemon
    daemon.stop()


@pytest.fixture
def docker(dockerd: DockerDaemon) -> Iterator[DockerDaemon]:
    """A Docker daemon without images, logins and mirrors."""
    yield dockerd
    dockerd.forget()
    dockerd.use_mirrors()


@pytest.fixture(scope="session")
def containerd_daemon(real_clients: Path, internet: SourceNetwork) -> Iterator[Containerd]:
    """The daemon of all scenarios; use :func:`containerd`."""
    daemon = Containerd(_below(real_clients, "c"), internet.environment())
    yield daemon
    daemon.stop()


@pytest.fixture
def containerd(containerd_daemon: Containerd) -> Iterator[Containerd]:
    """A containerd without images and without any hosts.toml."""
    yield containerd_daemon
    containerd_daemon.forget()


@pytest.fixture
def podman(real_clients: Path, internet: SourceNetwork) -> Iterator[Podman]:
    """podman without images and logins."""
    with TemporaryDirectory(prefix="p-", dir=real_clients) as name:
        podman = Podman(Path(name), internet.environment())
        yield podman
        podman.forget()


@pytest.fixture
def skopeo(real_clients: Path, internet: SourceNetwork) -> Iterator[Skopeo]:
    """skopeo without logins."""
    with TemporaryDirectory(prefix="s-", dir=real_clients) as name:
        yield Skopeo(Path(name), internet.environment())


def _below(directory: Path, name: str) -> Path:
    place = directory / name
    place.mkdir()
    return place
