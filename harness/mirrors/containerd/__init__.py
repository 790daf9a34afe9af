"""containerd: which hosts it asks for an image, in which order, with which credentials, and why.

The files alone give the plan; how hosts behave gives the pull::

    plan = resolve_plan(
        "docker.io/library/nginx:1.27",
        {"docker.io/hosts.toml": '[host."https://mirror.example"]'},
        release="1.7.24",
    )
    [host.name for host in plan.resolve]      # ["mirror.example", "registry-1.docker.io"]

    pull = simulate(plan, {"mirror.example": HostBehaviour(down=True)})
    [str(a.host) for a in pull.received]      # every request that reached a server
    pull.error                                # what the user would read, or None

Everything here is pure: no I/O, no clock. Behaviours are measured on released daemons; see
:mod:`harness.mirrors.containerd.releases`.
"""

from harness.mirrors.attempts import Attempt, Credential
from harness.mirrors.behaviours import UNRESOLVABLE, Action, Challenge, HostBehaviour, Rule
from harness.mirrors.containerd.certs_d import Finding
from harness.mirrors.containerd.credentials import AuthConfig
from harness.mirrors.containerd.execution import run, simulate
from harness.mirrors.containerd.hosts_toml import Capability
from harness.mirrors.containerd.outcome import Pull, PullError
from harness.mirrors.containerd.plan import Plan, PlannedHost, Refusal, Source
from harness.mirrors.containerd.planning import resolve_plan
from harness.mirrors.containerd.pullers import Cri, Ctr, Puller, UnknownArgument
from harness.mirrors.containerd.releases import (
    DEFAULT_RELEASE,
    RELEASES,
    Release,
    UnknownRelease,
    release_named,
)
from harness.mirrors.login import Login
from harness.mirrors.reference import Reference

__all__ = [
    "DEFAULT_RELEASE",
    "RELEASES",
    "UNRESOLVABLE",
    "Action",
    "Attempt",
    "AuthConfig",
    "Capability",
    "Challenge",
    "Credential",
    "Cri",
    "Ctr",
    "Finding",
    "HostBehaviour",
    "Login",
    "Plan",
    "PlannedHost",
    "Pull",
    "PullError",
    "Puller",
    "Reference",
    "Refusal",
    "Release",
    "Rule",
    "Source",
    "UnknownArgument",
    "UnknownRelease",
    "release_named",
    "resolve_plan",
    "run",
    "simulate",
]
