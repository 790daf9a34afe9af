"""The comparison with a baseline, for people and for programs: text, Markdown, HTML, data."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.compare.divergences import Comparison, Divergence


def summary(comparisons: Sequence[Comparison], stale: Sequence[str]) -> str:
    """The totals in one line."""
    explained = sum(len(one.explained) for one in comparisons)
    unexplained = sum(len(one.unexplained) for one in comparisons)
    return (
        f"{counted(len(comparisons), 'scenario')} compared: "
        f"{counted(explained, 'divergence')} explained, {unexplained} unexplained, "
        f"{counted(len(stale), 'entry', 'entries')} stale"
    )


def counted(number: int, one: str, many: str = "") -> str:
    """*number* with the singular *one* or the plural *many*, by default with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _text(comparisons: Sequence[Comparison], stale: Sequence[str]) -> str:
    blocks = []
    for one in comparisons:
        if one.unexplained:
            first, *more = one.unexplained
            then = [f"    and then {divergence.place}" for divergence in more]
            blocks.append("\n".join([first.describe(one.left, one.right), *then]))
    return "\n".join([*blocks, *stale, summary(comparisons, stale)]) + "\n"


def _markdown(comparisons: Sequence[Comparison], stale: Sequence[str]) -> str:
    lines = [summary(comparisons, stale) + ".", ""]
    for one in comparisons:
        if one.unexplained or one.explained:
            lines += [f"### `{one.scenario}`", ""]
            lines += [f"| | {one.left} | {one.right} | why |", "|---|---|---|---|"]
            for found, why in _reasoned(one):
                cells = (found.place, found.left, found.right, why)
                lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
            lines.append("")
    lines += [f"- {line}" for line in stale]
    return "\n".join(lines).rstrip() + "\n"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _html(comparisons: Sequence[Comparison], stale: Sequence[str]) -> str:
    parts = [f"<p>{html.escape(summary(comparisons, stale))}.</p>"]
    for one in comparisons:
        if one.unexplained or one.explained:
            heads = "".join(f"<th>{html.escape(t)}" for t in ("", one.left, one.right, "why"))
            rows = "".join(
                "<tr>"
                + "".join(f"<td>{html.escape(str(v))}" for v in (f.place, f.left, f.right, w))
                for f, w in _reasoned(one)
            )
            parts.append(f"<h2>{html.escape(one.scenario)}</h2><table><tr>{heads}{rows}</table>")
    parts += [f"<p>{html.escape(line)}</p>" for line in stale]
    return _PAGE.replace("BODY", "\n".join(parts))


def _reasoned(comparison: Comparison) -> Iterable[tuple[Divergence, str]]:
    yield from ((divergence, "unexplained") for divergence in comparison.unexplained)
    for divergence, known in comparison.explained:
        yield divergence, f"{known.reason} ({known.reference})"


_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>pullproof: comparison</title>
<style>
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
td, th { border: 1px solid #8886; padding: .3rem .5rem; text-align: left; vertical-align: top;
         overflow-wrap: anywhere }
h2 { font: 600 1rem ui-monospace, monospace; margin: 2rem 0 .5rem }
</style>
<h1>Comparison</h1>
BODY
"""


FORMATS: Mapping[str, Callable[[Sequence[Comparison], Sequence[str]], str]] = {
    "text": _text,
    "markdown": _markdown,
    "html": _html,
}
"""By name; each takes the comparisons and the lines about stale entries."""
