"""``--when HOST=BEHAVIOUR``: how hosts behave in the pull that is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from harness.nodes.explain.explanation import BadInput
from harness.nodes.models.attempts import ANONYMOUS, Login
from harness.nodes.models.behaviours import Action, Challenge, HostBehaviour, Rule, TokenService

__all__ = ["BEHAVIOURS", "REDIRECTED_TO", "behaviour", "behaviours"]

REDIRECTED_TO = "storage.invalid"
"""The host of ``redirect``, which is healthy unless a ``--when`` of its own says otherwise."""

BEHAVIOURS: Mapping[str, str] = {
    "down": "the connection is refused (also: refused)",
    "unreachable": "connection attempts are never answered",
    "unresolved": "its name has no address",
    "tls": "its certificate is signed by an authority that the client does not know",
    "tls-hang": "it accepts connections and never says a word",
    "plain": "it speaks plain HTTP only",
    "tls-only": "it speaks TLS only",
    "client-cert": "it wants a client certificate of everyone",
    "empty": "it is healthy and has no image",
    "reset": "it reads requests and closes the connection",
    "hang": "it reads requests and never answers",
    "html": "it answers 200 with a web page, like a captive portal",
    "truncate": "it cuts a layer short once",
    "no-range": "it cuts a layer short once, and sends layers from their start whatever Range asks",
    "wrong": "it answers with other bytes of the right length",
    "redirect": f"it redirects to {REDIRECTED_TO}, which has the same content",
    "no-digest": "its answers name no digest",
    "bad-digest": "its answers name a digest that is none",
    "wrong-digest": "its answers name the digest of something else",
    "no-length": "its answers name no length",
    "basic": "it asks for Basic credentials and accepts those that it gets",
    "bearer": "it asks for a token, which its token service gives to everyone",
    "bearer-denied": "it asks for a token, which its token service gives to nobody",
    "bearer-down": "it asks for a token, and its token service answers 503",
    "bearer-refused": "it asks for a token, and accepts none of those that its service gives",
    "401": "it asks for Basic credentials and accepts none",
    "NNN": "it answers everything with this status (204, 304, 400 to 599)",
}
"""What may stand after ``HOST=``, with its meaning. ``@resolve``, ``@index``, ``@manifest``,
``@config``, ``@layer`` after a behaviour that concerns answers limits it to these requests."""

_OBJECTS = ("resolve", "index", "manifest", "config", "layer")
_PORTAL = Action(html=True)
_FAULTS = {
    "reset": Action(reset=True),
    "hang": Action(hang=True),
    "html": _PORTAL,
    "wrong": Action(wrong_body=True),
    "redirect": Action(redirect=f"https://{REDIRECTED_TO}{{path}}"),
    "no-digest": Action(no_digest_header=True),
    "bad-digest": Action(bad_digest_header=True),
    "wrong-digest": Action(wrong_digest_header=True),
    "no-length": Action(drop_size=True),
}
_HOSTS = {
    "down": HostBehaviour(down=True),
    "refused": HostBehaviour(down=True),
    "unreachable": HostBehaviour(unreachable=True),
    "unresolved": HostBehaviour(resolvable=False),
    "tls": HostBehaviour(authority=b"an authority that nobody knows"),
    "tls-hang": HostBehaviour(silent=True),
    "plain": HostBehaviour(speaks="plain"),
    "tls-only": HostBehaviour(speaks="tls"),
    "client-cert": HostBehaviour(wants_client_certificate=True),
    "empty": HostBehaviour(store=False),
    "html": HostBehaviour(
        rules=(
            Rule(_PORTAL, method="HEAD"),
            *(Rule(_PORTAL, obj=obj) for obj in ("tag", "index", "manifest", "config", "layer")),
            # The page again, as "the blob" that resolving it named, is no image either.
            Rule(Action(status=404)),
        )
    ),
    "truncate": HostBehaviour(
        rules=(Rule(Action(truncate=1000), method="GET", obj="layer", times=1),)
    ),
    "no-range": HostBehaviour(
        rules=(
            Rule(Action(truncate=1000), method="GET", obj="layer", times=1),
            Rule(Action(ignore_range=True), method="GET", obj="layer"),
        )
    ),
}
_TOKENS = {
    "bearer": TokenService(),
    "bearer-denied": TokenService(status=401),
    "bearer-down": TokenService(status=503),
    "bearer-refused": TokenService(),
}
_STATUS = re.compile(r"[45]\d\d|204|304")


def behaviour(name: str, host: str, login: Login) -> HostBehaviour:
    """The behaviour called *name* of *host*, which would get *login* if it asked.

    Raises ``ValueError`` with what would be right.
    """
    word, at, obj = name.partition("@")
    if at and obj not in _OBJECTS:
        raise ValueError(f"after @ stands one of {', '.join(_OBJECTS)}, not {obj[:40]!r}")
    if not at and word in _HOSTS:
        return _HOSTS[word]
    if not at and word in {"basic", "401"}:
        accepted = f"{login.user}:{login.secret}" if word == "basic" else "nobody:is let in"
        return HostBehaviour(challenge=Challenge("basic", credential=accepted))
    if not at and word in _TOKENS:
        token = "another" if word == "bearer-refused" else "T-registry"
        realm = f"https://{host}/token"
        return HostBehaviour(
            challenge=Challenge("bearer", realm=realm, service="registry", token=token),
            tokens=_TOKENS[word],
        )
    action = _FAULTS.get(word) or (Action(status=int(word)) if _STATUS.fullmatch(word) else None)
    if action is None:
        about = " concerns all requests: leave out the @" if word in BEHAVIOURS else ""
        raise ValueError(f"{word[:40]!r}{about or ' is none of ' + ', '.join(BEHAVIOURS)}")
    if not at:
        return HostBehaviour(rules=(Rule(action),))
    if obj == "resolve":
        return HostBehaviour(rules=(Rule(action, method="HEAD"),))
    return HostBehaviour(rules=(Rule(action, method="GET", obj=obj),))


def behaviours(
    wanted: Iterable[str], logins: Mapping[str, Login]
) -> tuple[dict[str, HostBehaviour], tuple[str, ...]]:
    """The behaviours by host, and how they read. *logins* holds every host that may be named.

    Several for one host add up where they are limited by ``@``. Raises
    :class:`~harness.explain.errors.BadInput`.
    """
    found: dict[str, HostBehaviour] = {}
    words = []
    for text in wanted:
        host, equals, name = text.rpartition("=")
        if not equals:
            raise BadInput(f"--when {text[:80]!r} is not HOST=BEHAVIOUR", fix="such as m1=down")
        if host not in {*logins, REDIRECTED_TO}:
            known = ", ".join(list(logins)[:10]) or "none"
            more = f" and {len(logins) - 10} more" if len(logins) > 10 else ""
            raise BadInput(
                f"--when names {host[:80]!r}, which this pull never asks",
                fix=f"its hosts are {known}{more}",
            )
        try:
            new = behaviour(name, host, logins.get(host, ANONYMOUS))
        except ValueError as error:
            raise BadInput(f"--when {text[:80]!r}: {error}") from None
        before = found.get(host)
        if before is not None:
            if not (before.rules and new.rules):
                raise BadInput(f"--when names {host[:80]!r} twice", fix="leave one out")
            new = replace(before, rules=before.rules + new.rules)
        found[host] = new
        word = name.partition("@")[0]
        meaning = BEHAVIOURS.get("down" if word == "refused" else word, f"it answers {word}")
        scope = f", at {name.partition('@')[2]} only" if "@" in name else ""
        words.append(f"{host} is {word}: {meaning}{scope}")
    return found, tuple(words)
