"""An explanation as JSON, Markdown or a Mermaid sequence diagram."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict

from harness.nodes.explain.explanation import (
    Explanation,
    HostExplained,
    RequestExplained,
    Round,
    printable,
)
from harness.nodes.explain.tree import assumption, effect_words, outcome
from harness.nodes.models.files import FileLine

_JSON_VERSION = 1
"""Increases when a key changes its meaning or is removed; new keys may appear at any time."""


def _json(explanation: Explanation) -> str:
    """One JSON object; docs/explain.md describes its keys."""
    document = {
        "pullproof_explain": _JSON_VERSION,
        "outcome": "ok" if explanation.error is None else "error",
        "error": explanation.error,
        **asdict(explanation),
    }
    return json.dumps(document, indent=1) + "\n"


# -- Markdown (GitHub's flavour) ----------------------------------------------------------------
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def _markdown(explanation: Explanation) -> str:
    """A document with tables."""
    return "\n".join(_lines(explanation)).rstrip("\n") + "\n"


def _escaped(text: str) -> str:
    """*text* with all markup characters escaped."""
    return _MARKS.sub(r"\\\1", printable(text))


def _code(text: str) -> str:
    """*text* as code, also inside a table."""
    return "`" + printable(text).replace("`", "'").replace("|", "\\|") + "`"


def _place(place: FileLine | None) -> str:
    return "" if place is None else _code(str(place))


def _lines(explanation: Explanation) -> Iterator[str]:
    yield f"# {_code(explanation.image)}"
    yield ""
    yield f"Client: {_escaped(explanation.client)}. The pull "
    yield "**fails**." if explanation.error else "**succeeds**."
    yield ""
    for name in explanation.read:
        yield f"- read {_code(name)}"
    for remark in explanation.remarks:
        kind = "**Warning:**" if remark.is_warning else "Note:"
        yield f"- {kind} {_escaped(remark.text)} {_place(remark.place)}".rstrip()
    if explanation.secrets:
        yield from ("", "## Pull secrets", "")
        yield from _table(
            ("secret", "key", "user", "used", "why"),
            [
                (_code(s.secret), _code(s.key), _code(s.user), _yes(s.used), _escaped(s.why))
                for s in explanation.secrets
            ],
        )
    if explanation.hosts:
        yield from ("", "## Hosts, in the order they are tried for each object", "")
        yield from _table(
            ("", "host", "because", "scheme", "credentials", "file"),
            [
                (
                    str(host.number),
                    _code(host.url),
                    _escaped(f"{host.because}: {host.why}"),
                    _escaped(host.scheme + (f"; {host.tls}" if host.tls else "")),
                    _escaped(host.credential),
                    _place(host.place),
                )
                for host in explanation.hosts
            ],
        )
    for host in explanation.hosts:
        yield from _host(host)
    for one in explanation.rounds:
        yield from _markdown_round(explanation, one)
    if explanation.if_all_fail:
        yield from ("", "## If every host fails the same way", "")
        rows = [(_code(one.behaviour), _code(one.error)) for one in explanation.if_all_fail]
        yield from _table(("every host", "error"), rows)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _host(host: HostExplained) -> Iterator[str]:
    if host.probed is not None:
        yield from ("", f"Probe of {_code(host.name)}: {_escaped(host.probed.said)}.")
    if host.effects:
        yield from ("", f"If {_code(host.name)} fails and the hosts after it are healthy:", "")
        rows = [(_code(e.behaviour), _escaped(effect_words(e))) for e in host.effects]
        yield from _table(("behaviour", "then"), rows)


def _markdown_round(explanation: Explanation, one: Round) -> Iterator[str]:
    yield from ("", f"## {_escaped(one.title)}", "")
    yield from (f"- assumed: {_escaped(words)}" for words in explanation.assumed)
    yield f"- assumed: {_escaped(assumption(explanation))}"
    yield ""
    yield from _table(
        ("", "for", "request", "answer", "credentials", "because", "file"),
        [
            (
                str(request.number),
                request.step,
                _code(f"{request.method} {request.url}"),
                _escaped(request.result),
                _escaped(request.credential),
                _escaped(request.because),
                _place(request.place),
            )
            for request in one.requests
        ],
    )
    yield from ("", f"{outcome(one)[0].upper()}{outcome(one)[1:]}.")
    if one.error is not None:
        yield from ("", "```text", printable(one.error, lines=True).replace("```", "'''"), "```")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


# -- Mermaid (https://mermaid.js.org/syntax/sequenceDiagram) -------------------------------------
_MOST_MESSAGES = 100
_PLAIN = re.compile(r"[^A-Za-z0-9 .,/:=?()'\[\]_+-]")


def _mermaid(explanation: Explanation) -> str:
    """One diagram for all rounds."""
    client = explanation.client.partition(",")[0]
    lines = ["sequenceDiagram", f"  participant client as {_entities(client)}"]
    hosts = list(dict.fromkeys(r.host for one in explanation.rounds for r in one.requests))
    names = {host: f"host{number}" for number, host in enumerate(hosts, 1)}
    lines += [f"  participant {name} as {_entities(host)}" for host, name in names.items()]
    for one in explanation.rounds:
        lines += _mermaid_round(one, names)
    return "\n".join(lines) + "\n"


def _entities(text: str) -> str:
    """*text* with everything that Mermaid could take for syntax as an entity code."""
    return _PLAIN.sub(lambda match: f"#{ord(match[0])};", printable(text))


def _mermaid_round(one: Round, names: dict[str, str]) -> list[str]:
    lines = [f"  Note over client: {_entities(one.title)}"]
    for request in one.requests[:_MOST_MESSAGES]:
        lines += _message(request, names[request.host])
    if len(one.requests) > _MOST_MESSAGES:
        lines.append(f"  Note over client: {len(one.requests) - _MOST_MESSAGES} more requests")
    return [*lines, f"  Note over client: {_entities(outcome(one))}"]


def _message(request: RequestExplained, name: str) -> list[str]:
    path = "/" + request.url.partition("://")[2].partition("/")[2]
    sent = "" if request.credential == "none" else f" [{request.credential}]"
    ask = _entities(f"{request.step}: {request.method} {path}{sent}")
    if request.answered:
        return [f"  client->>{name}: {ask}", f"  {name}-->>client: {_entities(request.result)}"]
    return [f"  client-x{name}: {ask}", f"  Note right of {name}: {_entities(request.result)}"]


RENDERERS: Mapping[str, Callable[[Explanation], str]] = {
    "json": _json,
    "markdown": _markdown,
    "mermaid": _mermaid,
}
"""The forms that are text, by the name of ``--format``; the text ends with a line feed."""
