"""What :mod:`harness.mirrors.containerd` offers."""

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
