"""``--when HOST=BEHAVIOUR``: how hosts behave in the pull that is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches

from harness.nodes.explain.explanation import BadInput
from harness.nodes.models.network import ANONYMOUS, Login
from harness.nodes.models.simulated_network import (
    HostAction,
    HostBehaviour,
    HostChallenge,
    HostRule,
    HostTokenService,
)

REDIRECTED_TO = "storage.invalid"
"""The target host of ``redirect``; healthy unless another ``--when`` names it."""

_OBJECTS = ("resolve", "index", "manifest", "config", "layer")
_PORTAL = HostAction(html=True)
_CUT = HostRule(HostAction(truncate=1000), method="GET", obj="layer", times=1)
_Kind = HostAction | HostBehaviour | HostTokenService | None

BEHAVIOURS: Mapping[str, tuple[str, _Kind]] = {
    "down": ("the connection is refused (also: refused)", HostBehaviour(down=True)),
    "unreachable": ("connection attempts are never answered", HostBehaviour(unreachable=True)),
    "unresolved": ("its name does not resolve", HostBehaviour(resolvable=False)),
    "tls": (
        "an unknown authority signed its certificate",
        HostBehaviour(authority=b"an unknown authority"),
    ),
    "tls-hang": ("it accepts connections and sends nothing", HostBehaviour(silent=True)),
    "plain": ("it speaks plain HTTP only", HostBehaviour(speaks="plain")),
    "tls-only": ("it speaks TLS only", HostBehaviour(speaks="tls")),
    "client-cert": (
        "it requires a client certificate",
        HostBehaviour(wants_client_certificate=True),
    ),
    "empty": ("it is healthy but does not have the image", HostBehaviour(store=False)),
    "reset": ("it closes the connection after reading a request", HostAction(reset=True)),
    "hang": ("it reads requests and never answers", HostAction(hang=True)),
    "html": ("it answers 200 with a web page, like a captive portal", _PORTAL),
    "truncate": ("it truncates a layer once", HostBehaviour(rules=(_CUT,))),
    "no-range": (
        "it truncates a layer once and ignores Range requests",
        HostBehaviour(
            rules=(_CUT, HostRule(HostAction(ignore_range=True), method="GET", obj="layer"))
        ),
    ),
    "wrong": ("it sends wrong bytes of the right length", HostAction(wrong_body=True)),
    "redirect": (
        f"it redirects to {REDIRECTED_TO}, which has the same content",
        HostAction(redirect=f"https://{REDIRECTED_TO}{{path}}"),
    ),
    "no-digest": (
        "its answers have no Docker-Content-Digest",
        HostAction(headers={"Docker-Content-Digest": None}),
    ),
    "bad-digest": (
        "its Docker-Content-Digest is malformed",
        HostAction(headers={"Docker-Content-Digest": "sha256:not-a-digest"}),
    ),
    "wrong-digest": (
        "its Docker-Content-Digest is another digest",
        HostAction(headers={"Docker-Content-Digest": f"sha256:{0:064}"}),
    ),
    "no-length": ("its answers have no Content-Length", HostAction(drop_size=True)),
    "basic": ("it requires Basic credentials and accepts any", None),
    "bearer": (
        "it requires a token; its token service gives one to everyone",
        HostTokenService(),
    ),
    "bearer-denied": (
        "it requires a token; its token service refuses everyone (401)",
        HostTokenService(status=401),
    ),
    "bearer-down": (
        "it requires a token; its token service answers 503",
        HostTokenService(status=503),
    ),
    "bearer-refused": (
        "it requires a token and rejects every token of its service",
        HostTokenService(),
    ),
    "401": ("it requires Basic credentials and accepts none", None),
    "NNN": ("it answers everything with this status (204, 304, 400 to 599)", None),
}
"""The values after ``HOST=`` with their meaning. A suffix ``@resolve``, ``@index``, ``@manifest``,
``@config`` or ``@layer`` limits a behaviour of answers (a ``HostAction``) to these requests."""

_PORTAL_EVERYWHERE = HostBehaviour(
    rules=(
        HostRule(_PORTAL, method="HEAD"),
        *(HostRule(_PORTAL, obj=obj) for obj in ("tag", "index", "manifest", "config", "layer")),
        # Resolving the page gives a digest; the blob with that digest does not exist.
        HostRule(HostAction(status=404)),
    )
)
_STATUS = re.compile(r"[45]\d\d|204|304")


def behaviour(name: str, host: str, login: Login) -> HostBehaviour:
    """The behaviour *name* of *host*; *login* is what the host would get after a challenge.

    Raises :class:`BadInput` for an unknown name.
    """
    word, at, obj = name.partition("@")
    if at and obj not in _OBJECTS:
        raise BadInput(f"unknown request {obj[:40]!r} after @", fix=_expected(obj, _OBJECTS))
    word = "down" if word == "refused" else word
    _, kind = BEHAVIOURS.get(word, ("", None))
    if not at:
        if word == "html":
            return _PORTAL_EVERYWHERE
        if isinstance(kind, HostBehaviour):
            return kind
        if word in {"basic", "401"}:
            accepted = f"{login.user}:{login.secret}" if word == "basic" else "none:accepted"
            return HostBehaviour(challenge=HostChallenge("basic", credential=accepted))
        if isinstance(kind, HostTokenService):
            token = "another" if word == "bearer-refused" else "T-registry"
            realm = f"https://{host}/token"
            challenge = HostChallenge("bearer", realm=realm, service="registry", token=token)
            return HostBehaviour(challenge=challenge, tokens=kind)
    action = HostAction(status=int(word)) if _STATUS.fullmatch(word) else kind
    if not isinstance(action, HostAction):
        if word in BEHAVIOURS:
            raise BadInput(f"{word} applies to all requests", fix="leave out the @")
        raise BadInput(f"unknown behaviour {word[:40]!r}", fix=_expected(word, BEHAVIOURS))
    if not at:
        return HostBehaviour(rules=(HostRule(action),))
    if obj == "resolve":
        return HostBehaviour(rules=(HostRule(action, method="HEAD"),))
    return HostBehaviour(rules=(HostRule(action, method="GET", obj=obj),))


def _expected(word: str, known: Iterable[str]) -> str:
    """The nearest of *known*, or all of them."""
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def behaviours(
    wanted: Iterable[str], logins: Mapping[str, Login]
) -> tuple[dict[str, HostBehaviour], tuple[str, ...]]:
    """The behaviours by host, and each in words. *logins* has every host that the pull contacts.

    Several behaviours of one host are combined if each has an ``@``. Raises :class:`BadInput`.
    """
    found: dict[str, HostBehaviour] = {}
    words = []
    for text in wanted:
        host, equals, name = text.rpartition("=")
        if not equals:
            raise BadInput(
                f"--when {text[:80]!r} is not HOST=BEHAVIOUR", fix="for example mirror:5000=down"
            )
        if host not in {*logins, REDIRECTED_TO}:
            raise BadInput(
                f"--when names {host[:80]!r}, which this pull never contacts",
                fix=_expected(host, list(logins)[:10]),
            )
        try:
            new = behaviour(name, host, logins.get(host, ANONYMOUS))
        except BadInput as error:
            raise BadInput(f"--when {text[:80]!r}: {error}") from None
        before = found.get(host)
        if before is not None:
            if not (before.rules and new.rules):
                raise BadInput(f"--when names {host[:80]!r} twice", fix="leave one out")
            new = replace(before, rules=before.rules + new.rules)
        found[host] = new
        word = name.partition("@")[0]
        known = "down" if word == "refused" else word
        meaning, _ = BEHAVIOURS.get(known, (f"it answers {word}", None))
        scope = f" (only {name.partition('@')[2]} requests)" if "@" in name else ""
        words.append(f"{host}={word}: {meaning}{scope}")
    return found, tuple(words)
