"""What is under test, from the text of a ``--target`` option to a running registry."""

from __future__ import annotations

import re
import shutil
from difflib import get_close_matches

from harness.targets.access import TargetAccess
from harness.targets.container import ContainerTarget
from harness.targets.drayage import DrayageTarget
from harness.targets.errors import DidNotStart, NotOffered, TargetError
from harness.targets.process import BinaryTarget
from harness.targets.readings import GcRun, Metrics, StateEntry
from harness.targets.reference import ReferenceTarget
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings
from harness.targets.target import Target
from harness.targets.url import UrlTarget
from reference_registry.profiles import DEFAULT_PROFILE, PROFILES

__all__ = [
    "DEFAULT_TARGET",
    "DidNotStart",
    "GcRun",
    "Metrics",
    "NotOffered",
    "RunningRegistry",
    "Settings",
    "StateEntry",
    "Target",
    "TargetAccess",
    "TargetError",
    "UrlTarget",
    "parse_target",
]

DEFAULT_TARGET = "reference"
"""The target of a run without ``--target``."""

_KINDS = (
    "reference, reference@PROFILE, binary:PATH, container:IMAGE, drayage, url:URL, recording:FILE"
)
_OPEN = TargetAccess()
_ADDRESS = re.compile(r"(localhost|\[[\da-f:]+\]|[\w-]+(\.[\w-]+)+):\d+(/\S*)?")
_IMAGE = re.compile(r"[a-z\d][\w./-]*:\w[\w.-]*(@sha256:[\da-f]+)?")
_PREFIXES = {
    "binary": "a path, such as binary:/usr/bin/docker-registry",
    "container": "an image, such as container:registry:2",
    "url": "a URL, such as url:http://127.0.0.1:5000",
}


def parse_target(text: str, access: TargetAccess = _OPEN) -> Target:
    """The target that *text* names; *access* is for ``url:``. Raises ``TargetError`` with one line
    that suggests the right spelling."""
    kind, colon, rest = text.partition(":")
    if colon and kind in _PREFIXES:
        if not rest:
            raise TargetError(f"{kind}: needs {_PREFIXES[kind]}")
        if kind == "url":
            return UrlTarget.find(rest, access)
        return BinaryTarget.find(rest) if kind == "binary" else ContainerTarget.find(rest)
    if text == "drayage":
        return DrayageTarget.find()
    if text == "reference":
        return ReferenceTarget(DEFAULT_PROFILE)
    if text.startswith("reference@"):
        return ReferenceTarget.named(text.removeprefix("reference@"))
    meant = _meant(text)
    known = f"did you mean {meant}?" if meant else f"known targets: {_KINDS}"
    raise TargetError(f"unknown target {text!r}; {known}")


def _meant(text: str) -> str | None:
    """The target that a near miss most likely stands for."""
    if text.startswith(("http://", "https://")):
        return f"url:{text}"
    if _ADDRESS.fullmatch(text):
        return f"url:http://{text}"
    profile = re.sub(r"^(reference[:=/-])?v?", "", text)
    if profile in PROFILES:
        return f"reference@{profile}"
    if shutil.which(text) is not None or text.startswith(("/", "./", "~")):
        return f"binary:{text}"
    if _IMAGE.fullmatch(text):
        return f"container:{text}"
    if near := get_close_matches(text, ["reference", "drayage", "docker-registry"], n=1):
        return "binary:docker-registry" if near[0] == "docker-registry" else near[0]
    return None
