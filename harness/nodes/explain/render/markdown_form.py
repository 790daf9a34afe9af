"""Markdown for issues and pages (GitHub's flavour)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.nodes.explain.explanation import Explanation, HostExplained, Place, Round, printable
from harness.nodes.explain.render.words import assumption, effect_words, outcome

__all__ = ["render"]

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def render(explanation: Explanation) -> str:
    """The explanation as a document with tables."""
    return "\n".join(_lines(explanation)).rstrip("\n") + "\n"


def _words(text: str) -> str:
    """Text in which nothing is markup."""
    return _MARKS.sub(r"\\\1", printable(text))


def _code(text: str) -> str:
    """Text as it stands, in a table or outside."""
    return "`" + printable(text).replace("`", "'").replace("|", "\\|") + "`"


def _place(place: Place | None) -> str:
    return "" if place is None else _code(str(place))


def _lines(explanation: Explanation) -> Iterator[str]:
    yield f"# {_code(explanation.image)}"
    yield ""
    yield f"Pulled by {_words(explanation.client)}. As far as is known, the pull "
    yield "**ends in an error**." if explanation.error else "**succeeds**."
    yield ""
    for name in explanation.read:
        yield f"- read {_code(name)}"
    for remark in explanation.remarks:
        kind = "**Warning:**" if remark.is_warning else "Note:"
        yield f"- {kind} {_words(remark.text)} {_place(remark.place)}".rstrip()
    if explanation.secrets:
        yield from ("", "## Pull secrets", "")
        yield from _table(
            ("secret", "key", "user", "used", "why"),
            [
                (_code(s.secret), _code(s.key), _code(s.user), _yes(s.used), _words(s.why))
                for s in explanation.secrets
            ],
        )
    if explanation.hosts:
        yield from ("", "## Hosts, in the order in which every object is asked for", "")
        yield from _table(
            ("", "host", "because", "scheme", "credentials", "file"),
            [
                (
                    str(host.number),
                    _code(host.url),
                    _words(f"{host.because}: {host.why}"),
                    _words(host.scheme + (f"; {host.tls}" if host.tls else "")),
                    _words(host.credential),
                    _place(host.place),
                )
                for host in explanation.hosts
            ],
        )
    for host in explanation.hosts:
        yield from _host(host)
    for one in explanation.rounds:
        yield from _round(explanation, one)
    if explanation.if_all_fail:
        yield from ("", "## If every host fails alike", "")
        rows = [(_code(one.behaviour), _code(one.error)) for one in explanation.if_all_fail]
        yield from _table(("every host", "the error that is shown"), rows)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _host(host: HostExplained) -> Iterator[str]:
    if host.probed is not None:
        yield from ("", f"Probe of {_code(host.name)}: {_words(host.probed.said)}.")
    if host.effects:
        yield from ("", f"If {_code(host.name)} fails, and the hosts after it are healthy:", "")
        rows = [(_code(e.behaviour), _words(effect_words(e))) for e in host.effects]
        yield from _table(("behaviour", "then"), rows)


def _round(explanation: Explanation, one: Round) -> Iterator[str]:
    yield from ("", f"## {_words(one.title)}", "")
    yield from (f"- assumed: {_words(words)}" for words in explanation.assumed)
    yield f"- assumed: {_words(assumption(explanation))}"
    yield ""
    yield from _table(
        ("", "for", "request", "answer", "credentials", "because", "file"),
        [
            (
                str(request.number),
                request.step,
                _code(f"{request.method} {request.url}"),
                _words(request.result),
                _words(request.credential),
                _words(request.because),
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
