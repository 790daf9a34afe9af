"""Texts about an executed sequence and about a search. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.compare.observation import Observation
from harness.compare.observation import Step as Exchange
from harness.stateful.pair import Execution, Search, Step

__all__ = ["render_execution", "render_search"]

_HEADERS = ("content-range", "docker-content-digest")
_MOST = 320
"""Characters of a line about one request."""


def render_execution(execution: Execution, left: str, right: str) -> str:
    """Each operation with what it showed; of both targets where they differ."""
    lines = [f"The registry is {execution.sequence.settings_in_words()}."]
    for number, step in enumerate(execution.steps, 1):
        words = "final storage and schedule" if step.operation is None else step.operation.words()
        lines.append(f"{number:3}. {words}")
        if step.left != step.right and step.operation is not None:
            for name, seen in ((left, step.left), (right, step.right)):
                lines += [f"       {name}:", *_shown(seen, " " * 9)]
        elif step.operation is not None:
            lines += _shown(step.left, " " * 7)
        lines += _judged(step, left, right)
    return "\n".join(lines) + "\n"


def _judged(step: Step, left: str, right: str) -> Iterable[str]:
    for known in {known for _, known in step.explained}:
        yield f"       (a known difference: {known.reason})"
    width = max(len(left), len(right))
    for one in step.unexplained:
        yield f"       They differ in {one.place}:"
        yield f"         {left:{width}}  {one.left}"
        yield f"         {right:{width}}  {one.right}"


def _shown(seen: Observation, indent: str) -> list[str]:
    lines = [f"{indent}{_exchange(exchange)}" for exchange in seen.steps]
    lines += [
        f"{indent}  upstream: {request}" + (f", {times} times" if times > 1 else "")
        for request, times in seen.upstream.items()
    ]
    return lines + [f"{indent}{name}: {text}" for name, text in seen.disk.items()]


def _exchange(one: Exchange) -> str:
    headers = [f"{name} {one.headers[name]}" for name in _HEADERS if name in one.headers]
    body = one.body.strip() if one.status is None or one.status >= 400 else ""
    parts = [str(one.status or "no answer"), *headers, body, one.error or ""]
    text = f"{one.request} -> {', '.join(part for part in parts if part)}"
    return text if len(text) <= _MOST else f"{text[:_MOST]} …"


def render_search(found: Search, left: str, right: str) -> str:
    """The totals of a search, in a few lines."""
    outcome = "no unexplained difference" if found.found is None else "they differ"
    lines = [f"{found.ran} sequences of seed {found.seed} on {left} and {right}: {outcome}"]
    lines += [f"  known difference: {reason}" for reason in sorted(found.explained)]
    flaky = Counter(one.difference.place for one in found.flaky if one.difference)
    lines += [
        f"  FLAKY difference, {times} times, not when the sequence ran again: {place}"
        for place, times in flaky.items()
    ]
    return "\n".join(lines) + "\n"
