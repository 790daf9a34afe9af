"""What the comparisons of models with real clients share: scripted hosts and generated cases."""

from __future__ import annotations

import itertools
import os
import socket
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness.clients.authority import Certificates
from harness.clients.scripted_hosts import ScriptedHosts
from harness.content import Manifest, an_image, an_index
from harness.nodes.models.simulated_network import HostBehaviour
from harness.system.real_parts import missing_part
from tests.unit.models.worlds import behaviour_from


def free_network(ports: Iterable[int]) -> str:
    """The first three parts of loopback addresses on which *ports* are free, different for each
    process. Skips the test, or fails it where real programs are required, if there are none."""
    wanted = tuple(ports)
    start, reason = os.getpid() % 30000, ""
    for number in range(start, start + 50):
        network = f"127.{64 + number // 250 % 120}.{1 + number % 250}"
        try:
            for port in wanted:
                socket.create_server((f"{network}.11", port)).close()
        except OSError as error:
            reason = str(error)
        else:
            return network
    return missing_part(f"no loopback address has ports {wanted} free: {reason}")


class HostLab:
    """Scripted hosts on loopback, one for each of *ports*, with certificates below *directory* that
    are also valid for *names*."""

    def __init__(
        self, directory: Path, ports: Mapping[str, int], names: Collection[str] = ()
    ) -> None:
        self.directory = directory
        (certificates := directory / "certificates").mkdir()
        network = free_network(ports.values())
        addresses = {host: f"{network}.{n}" for n, host in enumerate(ports, 11)}
        self.hosts = {host: f"{addresses[host]}:{port}" for host, port in ports.items()}
        """Address and port by logical host."""
        self.certificates = Certificates(certificates, [*addresses.values(), *names])
        listeners = {host: (addresses[host], (port,)) for host, port in ports.items()}
        self.scripted = ScriptedHosts(listeners, self.certificates)
        self._numbers = itertools.count(1)

    def stop(self) -> None:
        """Close every port."""
        self.scripted.stop()

    def image(self, *, index: bool) -> Manifest:
        """An image that the real client has not seen before."""
        single = an_image(f"{os.getpid()} {next(self._numbers)}", layers=1)
        return an_index(single) if index else single

    def behaviours(self, documents: Mapping[str, Mapping[str, Any]]) -> dict[str, HostBehaviour]:
        """The behaviour of each host; hosts without a document are healthy."""
        authorities = {"trusted": None, "untrusted": self.certificates.untrusted}
        return {host: behaviour_from(documents.get(host, {}), authorities) for host in self.hosts}

    def name_of(self, address: str) -> str:
        """The logical host at *address*; *address* itself if there is none."""
        return next((name for name, known in self.hosts.items() if known == address), address)


def rarely(strategy: st.SearchStrategy[Any], usually: Any = None) -> st.SearchStrategy[Any]:
    """*strategy* in one of four draws; *usually* is also what a case shrinks to."""
    return st.integers(0, 3).flatmap(lambda n: strategy if n == 3 else st.just(usually))


def run_generated(
    cases: st.SearchStrategy[dict[str, Any]],
    check: Callable[[dict[str, Any]], None],
    *,
    count: int,
    seed: int,
) -> int:
    """Call *check* with *count* of *cases*, the same for the same *seed*; returns the number of
    calls. A case for which it raises is shrunk to its simplest form."""
    checked = 0

    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(case=cases)
    def each(case: dict[str, Any]) -> None:
        nonlocal checked
        checked += 1
        check(case)

    each()
    return checked


def check_generated(
    client: str,
    request: pytest.FixtureRequest,
    cases: st.SearchStrategy[dict[str, Any]],
    difference: Callable[[dict[str, Any]], str],
) -> None:
    """Run ``--CLIENT-generated`` cases of ``--seed``; *difference* describes in what the real
    client differs from its model, empty if they agree."""
    count: int = request.config.getoption(f"{client}_generated")
    seed: int = request.config.getoption("seed")

    def check(case: dict[str, Any]) -> None:
        found = difference(case)
        assert not found, f"model and {client} differ (seed {seed}): {found}"

    checked = run_generated(cases, check, count=count, seed=seed)
    sys.stdout.write(f"{checked} cases of seed {seed}\n")
    assert checked >= count
