"""What a pull does when one host fails: found out by running the model, not by rules of our own.

Each behaviour is tried on a plan that begins with the host in question and ends with the first
later one that may resolve, which is healthy. Hosts that differ in nothing but their name share the
outcome, so that hundreds of hosts cost no more than their kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.content import Manifest
from harness.nodes.explain.explanation import Effect, IfAllFail
from harness.nodes.explain.when import behaviour
from harness.nodes.models.attempts import ANONYMOUS, Login
from harness.nodes.models.behaviours import HostBehaviour
from harness.nodes.models.containerd.execution import simulate
from harness.nodes.models.containerd.plan import Plan, PlannedHost, Pull
from harness.nodes.models.containerd.pullers import CredentialError
from harness.nodes.models.go_url import port_of

__all__ = ["FAILURES", "EffectFinder", "if_all_fail", "login_of"]

FAILURES = (
    *("down", "unreachable", "tls", "tls-hang", "hang"),
    *("401", "404", "429", "500", "html", "truncate"),
)
"""The behaviours that are tried, by the names of ``--when``."""
_ALL_FAIL = ("down", "unreachable", "404", "401", "429")


def login_of(host: PlannedHost) -> Login:
    """What *host* would get if it asked."""
    try:
        return host.client.credentials.login_for(host.name)
    except CredentialError:
        return ANONYMOUS


class EffectFinder:
    """Finds the effects of a plan's hosts; *images* are the same image with more and more layers,
    one and two, which shows what a further layer costs."""

    def __init__(self, plan: Plan, images: tuple[Manifest, Manifest]) -> None:
        self._plan = plan
        self._images = images
        self._known: dict[object, tuple[Effect, ...]] = {}

    def effects(self, position: int) -> tuple[Effect, ...]:
        """The effects of failures of the host at *position* (from 0)."""
        hosts = self._plan.hosts
        host, later = hosts[position], hosts[position + 1 :]
        rest = later[:1]
        if rest and not rest[0].may(*self._plan.wanted):
            rest += tuple(h for h in later[1:] if h.may(*self._plan.wanted))[:1]
        kind = (_kind(host), *((_kind(one), one.name == host.name) for one in rest))
        if kind not in self._known:
            self._known[kind] = self._found(host, rest)
        return self._known[kind]

    def _found(self, host: PlannedHost, rest: tuple[PlannedHost, ...]) -> tuple[Effect, ...]:
        plan = replace(self._plan, hosts=(host, *rest), unordered=0, fetch_order=None)
        healthy = _trace(simulate(plan, image=self._images[0]))
        found = []
        for name in FAILURES:
            told = {host.name: behaviour(name, host.name, login_of(host))}
            pull = simulate(plan, told, image=self._images[0])
            if _trace(pull) != healthy:
                longer = simulate(plan, told, image=self._images[1])
                found.append(_effect(name, host, pull, longer))
        return tuple(found)


def _kind(host: PlannedHost) -> object:
    """Everything about *host* that decides what its failures do."""
    login, client = login_of(host), host.client
    return (
        host.scheme,
        port_of(host.name) == "",
        host.capabilities,
        (client.falls_back, client.dial_timeout, client.trust),
        (bool(login.user), bool(login.secret)),
    )


def _trace(pull: Pull) -> object:
    return [(a.scheme, a.host, a.path, a.status, a.failure, a.cut) for a in pull.attempts]


def _effect(name: str, host: PlannedHost, pull: Pull, longer: Pull) -> Effect:
    at_host = [attempt for attempt in pull.attempts if attempt.host == host.name]
    others_served = any(a.host != host.name and a.status == 200 for a in pull.attempts)
    lost, lost_longer = pull.seconds_lost, longer.seconds_lost
    endless = lost == float("inf")
    if endless:
        then = "waits for ever"
    elif pull.error is not None:
        then = "ends the pull"
    else:
        then = "next host" if others_served else "goes on with it"
    return Effect(
        behaviour=name,
        then=then,
        requests=len(at_host),
        seconds=None if endless else lost,
        per_object=None if endless else lost_longer - lost,
    )


def if_all_fail(plan: Plan, image: Manifest) -> tuple[IfAllFail, ...]:
    """The error that the user reads where every host behaves alike."""
    found = []
    for name in _ALL_FAIL:
        told: Mapping[str, HostBehaviour] = {
            host.name: behaviour(name, host.name, login_of(host)) for host in plan.hosts
        }
        error = simulate(plan, told, image=image).error
        if error is not None:
            found.append(IfAllFail(name, error.message))
    return tuple(found)
