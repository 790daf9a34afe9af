"""The same sequence diagram as a picture that needs nothing but itself: no script, no font file."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from harness.nodes.explain.explanation import Explanation, RequestExplained, printable
from harness.nodes.explain.render.words import outcome

__all__ = ["render"]

_COLUMN, _ROW, _TOP, _LEFT = 330, 34, 64, 150
_MOST_HOSTS, _MOST_MESSAGES = 12, 100
_LONGEST = 52
_STYLE = (
    "text{font:12px sans-serif;fill:#1b1f24}.host{font-weight:bold}.life{stroke:#9aa4b0}"
    ".ok{stroke:#1a7f37}.no{stroke:#cf222e}.t-ok{fill:#1a7f37}.t-no{fill:#cf222e}"
    ".box{fill:#f4f6f8;stroke:#9aa4b0}.paper{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}"
    ".box{fill:#161b22}.t-ok{fill:#3fb950}.t-no{fill:#f85149}}"
)


def render(explanation: Explanation) -> str:
    """An SVG document. What does not fit is counted at its end; hovering shows the whole URL."""
    requests = [request for one in explanation.rounds for request in one.requests]
    hosts = list(dict.fromkeys(request.host for request in requests))[:_MOST_HOSTS]
    shown = [request for request in requests if request.host in hosts][:_MOST_MESSAGES]
    ends = [f"{one.title}: {outcome(one)}" for one in explanation.rounds]
    if len(shown) < len(requests):
        ends.append(f"{len(requests) - len(shown)} requests more are not drawn")
    width = _LEFT + _COLUMN * max(len(hosts), 1) + 150
    bottom = _TOP + _ROW * (len(shown) + 1)
    height = bottom + 20 * (len(ends) + 1)
    title = f"Pull of {explanation.image} by {explanation.client}"
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{_text(title)}">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
        *_lifeline(_LEFT, explanation.client.partition(",")[0], bottom),
    ]
    for number, host in enumerate(hosts, 1):
        body += _lifeline(_LEFT + _COLUMN * number, host, bottom)
    for number, request in enumerate(shown, 1):
        x = _LEFT + _COLUMN * (hosts.index(request.host) + 1)
        body += _message(request, x, _TOP + _ROW * number)
    for number, words in enumerate(ends, 1):
        body.append(f'<text x="20" y="{bottom + 20 * number}">{_text(words)}</text>')
    return "\n".join([*body, "</svg>"]) + "\n"


def _text(words: str) -> str:
    return escape(printable(words), {'"': "&quot;"})


def _short(words: str) -> str:
    """The two ends of a text that is too long for its place."""
    half = _LONGEST // 2
    return words if len(words) <= _LONGEST else f"{words[: half - 1]}…{words[-half:]}"


def _lifeline(x: int, name: str, bottom: int) -> Iterator[str]:
    yield f'<line class="life" x1="{x}" y1="48" x2="{x}" y2="{bottom - 10}"/>'
    yield f'<rect class="box" x="{x - 125}" y="14" width="250" height="34" rx="4"/>'
    yield (
        f'<text class="host" x="{x}" y="35" text-anchor="middle">{_text(_short(name)[:34])}'
        f"<title>{_text(name)}</title></text>"
    )


def _message(request: RequestExplained, x: int, y: int) -> Iterator[str]:
    kind = "ok" if request.answered and request.result.startswith("2") else "no"
    path = "/" + request.url.partition("://")[2].partition("/")[2]
    ask = f"{request.number} {request.method} {path}"
    yield f"<g><title>{_text(f'{request.method} {request.url} ({request.credential})')}</title>"
    yield f'<line class="{kind}" x1="{_LEFT}" y1="{y}" x2="{x - 6}" y2="{y}"/>'
    yield f'<path class="{kind}" fill="none" d="M{x - 12} {y - 4}L{x - 5} {y}L{x - 12} {y + 4}"/>'
    yield f'<text x="{_LEFT + 8}" y="{y - 5}">{_text(_short(ask))}</text>'
    yield f'<text class="t-{kind}" x="{x + 8}" y="{y + 4}">{_text(_short(request.result)[:34])}'
    yield f'</text><text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{request.step}</text></g>'
