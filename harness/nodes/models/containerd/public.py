"""What :mod:`harness.nodes.models.containerd` offers."""

from harness.nodes.models.attempts import Attempt, Credential
from harness.nodes.models.behaviours import UNRESOLVABLE, Action, Challenge, HostBehaviour, Rule
from harness.nodes.models.containerd.certs_d import Finding
from harness.nodes.models.containerd.credentials import AuthConfig
from harness.nodes.models.containerd.execution import run, simulate
from harness.nodes.models.containerd.hosts_toml import Capability
from harness.nodes.models.containerd.outcome import Pull, PullError
from harness.nodes.models.containerd.plan import Plan, PlannedHost, Refusal, Source
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import Cri, Ctr, Puller, UnknownArgument
from harness.nodes.models.containerd.releases import (
    DEFAULT_RELEASE,
    RELEASES,
    Release,
    UnknownRelease,
    release_named,
)
from harness.nodes.models.login import Login
from harness.nodes.models.reference import Reference

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
