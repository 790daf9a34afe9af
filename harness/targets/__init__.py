"""What is under test, from the text of a ``--target`` option to a running registry."""

from __future__ import annotations

from harness.targets.access import Access
from harness.targets.binary import BinaryTarget
from harness.targets.container import ContainerTarget
from harness.targets.drayage import DrayageTarget
from harness.targets.errors import DidNotStart, NotOffered, TargetError
from harness.targets.garbage import GcRun
from harness.targets.metrics import Metrics
from harness.targets.reference import ReferenceTarget
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings
from harness.targets.state import StateEntry
from harness.targets.target import Target
from harness.targets.url import UrlTarget
from harness.targets.zot import ZotTarget
from reference_registry.profiles import DEFAULT_PROFILE

__all__ = [
    "DEFAULT_TARGET",
    "Access",
    "DidNotStart",
    "GcRun",
    "Metrics",
    "NotOffered",
    "RunningRegistry",
    "Settings",
    "StateEntry",
    "Target",
    "TargetError",
    "UrlTarget",
    "parse_target",
]

DEFAULT_TARGET = "reference"
"""What is tested where no ``--target`` says otherwise."""

_KINDS = (
    "reference, reference@PROFILE, binary:PATH, container:IMAGE, drayage, zot, url:URL, "
    "recording:FILE"
)
_PLAIN = Access()


def parse_target(text: str, access: Access = _PLAIN) -> Target:
    """The target that *text* names; *access* is for what runs already. ``TargetError`` with one
    line where there is none."""
    kind, colon, rest = text.partition(":")
    if kind == "binary" and colon:
        if not rest:
            raise TargetError("binary: needs a path, such as binary:/usr/bin/docker-registry")
        return BinaryTarget.find(rest)
    if kind == "container" and colon:
        if not rest:
            raise TargetError("container: needs an image, such as container:registry:2")
        return ContainerTarget.find(rest)
    if kind == "url" and colon:
        return UrlTarget.find(rest, access)
    if text == "drayage":
        return DrayageTarget.find()
    if text == "zot":
        return ZotTarget.find()
    if text == "reference":
        return ReferenceTarget(DEFAULT_PROFILE)
    if text.startswith("reference@"):
        return ReferenceTarget.named(text.removeprefix("reference@"))
    raise TargetError(f"{text!r} is no target; known are {_KINDS}")
