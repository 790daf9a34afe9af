"""A Mermaid sequence diagram, one for each round (https://mermaid.js.org/syntax/sequenceDiagram)."""

from __future__ import annotations

import re

from harness.nodes.explain.explanation import Explanation, RequestExplained, Round, printable
from harness.nodes.explain.render.words import outcome

__all__ = ["render"]

_MOST_MESSAGES = 100
_PLAIN = re.compile(r"[^A-Za-z0-9 .,/:=?()'\[\]_+-]")


def render(explanation: Explanation) -> str:
    """One diagram in which the client talks to hosts."""
    client = explanation.client.partition(",")[0]
    lines = ["sequenceDiagram", f"  participant client as {_words(client)}"]
    hosts = list(dict.fromkeys(r.host for one in explanation.rounds for r in one.requests))
    names = {host: f"host{number}" for number, host in enumerate(hosts, 1)}
    lines += [f"  participant {name} as {_words(host)}" for host, name in names.items()]
    for one in explanation.rounds:
        lines += _round(one, names)
    return "\n".join(lines) + "\n"


def _words(text: str) -> str:
    """*text* with everything that the grammar might take for itself as an entity code."""
    return _PLAIN.sub(lambda match: f"#{ord(match[0])};", printable(text))


def _round(one: Round, names: dict[str, str]) -> list[str]:
    lines = [f"  Note over client: {_words(one.title)}"]
    for request in one.requests[:_MOST_MESSAGES]:
        lines += _message(request, names[request.host])
    if len(one.requests) > _MOST_MESSAGES:
        lines.append(f"  Note over client: {len(one.requests) - _MOST_MESSAGES} requests more")
    return [*lines, f"  Note over client: {_words(outcome(one))}"]


def _message(request: RequestExplained, name: str) -> list[str]:
    path = "/" + request.url.partition("://")[2].partition("/")[2]
    sent = "" if request.credential == "none" else f" [{request.credential}]"
    ask = _words(f"{request.step}: {request.method} {path}{sent}")
    if request.answered:
        return [f"  client->>{name}: {ask}", f"  {name}-->>client: {_words(request.result)}"]
    return [f"  client-x{name}: {ask}", f"  Note right of {name}: {_words(request.result)}"]
