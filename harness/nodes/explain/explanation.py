"""The question and the result of ``pullproof explain`` as values; renderers write the result.

The result holds words and numbers only, and never a password, token or header value, so that no
renderer can leak one.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from harness.nodes.models.files import FileLine


class BadInput(ValueError):
    """An invalid file or option: the problem, the place and a fix."""

    def __init__(
        self, problem: str, file: str | None = None, line: int | None = None, fix: str = ""
    ) -> None:
        place = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        super().__init__(f"{place}{problem}{f' ({fix})' if fix else ''}")

    @classmethod
    def image(cls, name: str, reason: object) -> BadInput:
        """The error for an invalid image *name*."""
        return cls(f"{name[:200]!r} is not an image name: {reason}")


_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str, *, lines: bool = False) -> str:
    """*text* with control and direction characters as escapes; *lines* keeps line feeds."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter
        if (lines and letter == "\n") or unicodedata.category(letter) not in _HIDDEN
        else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in text
    )


@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """The options of ``pullproof explain``."""

    image: str
    puller: str = "cri"
    certs_d: Path | None = None
    config: Path | None = None
    release: str | None = None
    ctr_options: str | None = None
    pull_secrets: tuple[Path, ...] = ()
    node_secret: Path | None = None
    auth_file: Path | None = None
    registries_conf: Path | None = None
    daemon_json: Path | None = None
    when: tuple[str, ...] = ()
    probe: bool = False
    probe_with_credentials: bool = False


@dataclass(frozen=True)
class Effect:
    """What the client does if one host fails this way and all later hosts are healthy."""

    behaviour: str
    """A behaviour of ``--when``."""
    then: str
    """``next host``, ``same host``, ``pull fails`` or ``waits forever``."""
    requests: int
    """Requests and connection attempts to the host in the whole pull."""
    seconds: float | None
    """Time lost with it in the whole pull; None for unlimited."""
    per_object: float | None
    """Time lost with each further layer."""


@dataclass(frozen=True)
class Probed:
    """How a real host answered HEAD of ``/v2/`` and of the manifest."""

    reached: bool
    said: str
    base_status: int | None = None
    manifest_status: int | None = None
    challenge: str = ""
    """Scheme, realm and service of the challenge, in words."""
    digest: str = ""
    sent_credentials: bool = False


@dataclass(frozen=True, kw_only=True)
class HostExplained:
    """One host that the files name, in the order hosts are tried."""

    number: int = 0
    """From 1, in the order of attempts."""
    name: str
    url: str
    because: str
    place: FileLine | None
    namespace: str | None = None
    """The ``ns=`` of its requests; None for none."""
    resolves: bool = True
    """Whether the client resolves tags or digests there."""
    why: str
    """What it is used for, and why."""
    scheme: str
    """The scheme and what it falls back to, in words."""
    tls: str
    credential: str
    """What is sent to it, and when."""
    headers: tuple[str, ...] = ()
    """Names of the extra headers of its requests."""
    serves: bool = True
    """Whether content is requested there; always true so far."""
    effects: tuple[Effect, ...] = ()
    probed: Probed | None = None


@dataclass(frozen=True)
class RequestExplained:
    """One request or connection attempt."""

    number: int
    step: str
    """``ping``, ``resolve``, ``index``, ``manifest``, ``config``, ``layer`` or ``token``."""
    method: str
    url: str
    host: str
    namespace: str | None
    credential: str
    """``none``, or its kind and where it comes from."""
    because: str
    result: str
    """A status, or how the connection failed."""
    answered: bool
    seconds: float | None
    """Time lost; None for unlimited."""
    place: FileLine | None
    at_once: bool = False
    """Whether it runs concurrently with its neighbours."""


@dataclass(frozen=True)
class Round:
    """One pull from its first request to its end. kubelet makes one for each matching login."""

    title: str
    requests: tuple[RequestExplained, ...]
    error: str | None
    """The error the user sees; None if the pull succeeds."""
    code: str | None
    """Its gRPC status, if it has one."""
    seconds: float | None
    """Time lost with hosts that never answer; None for unlimited."""


@dataclass(frozen=True)
class SecretExplained:
    """One entry of a pull secret, and whether it is used."""

    secret: str
    key: str
    user: str
    used: bool
    why: str


@dataclass(frozen=True)
class Diagnostic:
    """A note, or a warning about something that is probably not intended."""

    text: str
    place: FileLine | None = None
    is_warning: bool = True


@dataclass(frozen=True)
class IfAllFail:
    """The error that the user sees if every host behaves this way."""

    behaviour: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The whole explanation."""

    image: str
    """The full name, as the client expands it."""
    puller: str
    """``cri``, ``ctr``, ``docker``, ``skopeo`` or ``podman``."""
    client: str
    """The program and its release, in words."""
    read: tuple[str, ...] = ()
    """The files that were read."""
    directory: str | None = None
    """The hosts directory used for the image's registry."""
    looked_for: tuple[str, ...] = ()
    """The directories checked, best first."""
    assumed: tuple[str, ...] = ()
    """How hosts behave in ``rounds``; all other hosts are healthy and have the image."""
    remarks: tuple[Diagnostic, ...] = ()
    hosts: tuple[HostExplained, ...] = ()
    secrets: tuple[SecretExplained, ...] = ()
    rounds: tuple[Round, ...] = ()
    if_all_fail: tuple[IfAllFail, ...] = ()

    @property
    def error(self) -> str | None:
        """How the pull ends; None if one round succeeds. kubelet joins the errors of all rounds."""
        errors = [one.error for one in self.rounds]
        if not errors or None in errors:
            return None
        return "\n".join(error for error in errors if error)
