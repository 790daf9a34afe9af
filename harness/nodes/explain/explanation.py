"""What ``pullproof explain`` has to say, as a value: renderers only turn it into text.

Everything in it is words and numbers. No password, token or header value is ever put in, so that no
renderer can let one out.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

__all__ = [
    "BadInput",
    "Effect",
    "Explanation",
    "HostExplained",
    "IfAllFail",
    "Place",
    "Probed",
    "Remark",
    "RequestExplained",
    "Round",
    "SecretExplained",
    "printable",
]


class BadInput(ValueError):
    """What is wrong with a file or an option, where, and what to do about it."""

    def __init__(
        self, problem: str, file: str | None = None, line: int | None = None, fix: str = ""
    ) -> None:
        self.problem = problem
        self.file = file
        self.line = line
        self.fix = fix
        place = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        super().__init__(f"{place}{problem}{f' ({fix})' if fix else ''}")


_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str, *, lines: bool = False) -> str:
    """*text* with everything invisible written as an escape; *lines* keeps line feeds."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter
        if (lines and letter == "\n") or unicodedata.category(letter) not in _HIDDEN
        else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in text
    )


@dataclass(frozen=True)
class Place:
    """A line of a file; ``line`` counts from 1 and is None where no line is to blame."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Effect:
    """What the client does if one host behaves in this way and all later ones are healthy."""

    behaviour: str
    """A name that ``--when`` knows."""
    then: str
    """``next host``, ``goes on with it``, ``ends the pull`` or ``waits for ever``."""
    requests: int
    """How often the host is asked, or tried, in the whole pull."""
    seconds: float | None
    """Spent waiting for it in the whole pull; None for as long as the caller is patient."""
    per_object: float | None
    """The part of it that every further layer costs again."""


@dataclass(frozen=True)
class Probed:
    """What one host really answered, to HEAD of ``/v2/`` and HEAD of the manifest."""

    reached: bool
    said: str
    base_status: int | None = None
    manifest_status: int | None = None
    challenge: str = ""
    """Scheme, realm and service of the challenge, in words."""
    digest: str = ""
    sent_credentials: bool = False


@dataclass(frozen=True)
class HostExplained:
    """One host that the files name, in the order in which it is asked."""

    number: int
    name: str
    url: str
    because: str
    place: Place | None
    namespace: str | None
    """The ``ns=`` that its requests carry; None for none."""
    resolves: bool
    """Whether it is asked what a tag or digest means."""
    serves: bool
    """Whether it is asked for content."""
    why: str
    """Why it is in or out."""
    scheme: str
    """The scheme and what it falls back to, in words."""
    tls: str
    credential: str
    """What is sent to it, and after what challenge."""
    headers: tuple[str, ...] = ()
    """Names of the headers that are sent to it unasked."""
    effects: tuple[Effect, ...] = ()
    probed: Probed | None = None


@dataclass(frozen=True)
class RequestExplained:
    """One request, or one try at a connection."""

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
    """Spent in vain; None for without end."""
    place: Place | None
    at_once: bool = False
    """Whether it runs at the same time as its neighbours, in any order."""


@dataclass(frozen=True)
class Round:
    """One pull from its first request to its end. kubelet makes one for every login that fits."""

    title: str
    requests: tuple[RequestExplained, ...]
    error: str | None
    """What the user reads; None if the pull succeeds."""
    code: str | None
    """The gRPC status that it comes with, if it has one."""
    seconds: float | None
    """Spent waiting for hosts that never answer; None for without end."""


@dataclass(frozen=True)
class SecretExplained:
    """One entry of a pull secret and what becomes of it."""

    secret: str
    key: str
    user: str
    used: bool
    why: str


@dataclass(frozen=True)
class Remark:
    """Something that the reader should know. A warning is about what is probably not meant."""

    text: str
    place: Place | None = None
    is_warning: bool = True


@dataclass(frozen=True)
class IfAllFail:
    """The error that is shown if every host behaves in the same way."""

    behaviour: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """All of it."""

    image: str
    """As the puller understands it."""
    puller: str
    """``cri``, ``ctr``, ``docker``, ``skopeo`` or ``podman``."""
    client: str
    """The program and its release, in words."""
    read: tuple[str, ...] = ()
    """The files that were read."""
    directory: str | None = None
    """The directory that was found for the image's registry."""
    looked_for: tuple[str, ...] = ()
    """The directories that would have counted, best first."""
    assumed: tuple[str, ...] = ()
    """How hosts behave in ``rounds``; all others are healthy and have the image."""
    remarks: tuple[Remark, ...] = ()
    hosts: tuple[HostExplained, ...] = ()
    secrets: tuple[SecretExplained, ...] = ()
    rounds: tuple[Round, ...] = ()
    if_all_fail: tuple[IfAllFail, ...] = field(default=())

    @property
    def error(self) -> str | None:
        """How the pull ends; None if one round succeeds. kubelet joins the errors of all rounds."""
        errors = [one.error for one in self.rounds]
        if not errors or None in errors:
            return None
        return "\n".join(error for error in errors if error)
