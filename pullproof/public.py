"""The names that :mod:`pullproof` gives."""

from harness.clients.containerd_pull import Pull
from harness.content import (
    Artifact,
    Blob,
    Content,
    Image,
    Index,
    Manifest,
    Platform,
    a_layer,
    an_artifact,
    an_image,
    an_index,
)
from harness.http.client import Answer
from harness.plugin.fixtures.content import OciContent
from harness.plugin.fixtures.doubles import (
    MakeMockUpstream,
    MakeProxyRegistry,
    MakeRegistry,
    ProxyDouble,
    RegistryDouble,
)
from harness.plugin.fixtures.options import ProxyOptions, RegistryOptions
from harness.targets.errors import DidNotStart
from harness.targets.in_process import JumpingClock, TurnableClock
from harness.upstream import (
    Anonymous,
    Auth,
    Basic,
    Bearer,
    Entry,
    Fault,
    Ledger,
    Match,
    MockUpstream,
    RateLimit,
    RateLimiter,
    TokenServer,
)
from reference_registry.clock import Clock, ManualClock

__all__ = [
    "Anonymous",
    "Answer",
    "Artifact",
    "Auth",
    "Basic",
    "Bearer",
    "Blob",
    "Clock",
    "Content",
    "DidNotStart",
    "Entry",
    "Fault",
    "Image",
    "Index",
    "JumpingClock",
    "Ledger",
    "MakeMockUpstream",
    "MakeProxyRegistry",
    "MakeRegistry",
    "Manifest",
    "ManualClock",
    "Match",
    "MockUpstream",
    "OciContent",
    "Platform",
    "ProxyDouble",
    "ProxyOptions",
    "Pull",
    "RateLimit",
    "RateLimiter",
    "RegistryDouble",
    "RegistryOptions",
    "TokenServer",
    "TurnableClock",
    "a_layer",
    "an_artifact",
    "an_image",
    "an_index",
]
