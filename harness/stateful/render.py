"""A story as it was played, as a conversation. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.compare.observation import Observation, Step
from harness.stateful.pair import Act, Playing, Search

__all__ = ["tell", "tell_search"]

_TOLD = ("content-type", "content-length", "content-range", "docker-content-digest", "etag")
_LONGEST = 160


def tell(playing: Playing, left: str, right: str) -> str:
    """Each operation with what was seen of it; of both where they differ."""
    lines = [f"The registry is {playing.story.settings_in_words()}."]
    for number, act in enumerate(playing.acts, 1):
        words = "the end: storage and schedule" if act.operation is None else act.operation.words()
        lines.append(f"{number:3}. {words}")
        if act.left == act.right or act.operation is None:
            lines += [] if act.operation is None else _seen(act.left, " " * 7)
        else:
            for name, seen in ((left, act.left), (right, act.right)):
                lines.append(f"       {name}:")
                lines += _seen(seen, " " * 9)
        lines += _judged(act, left, right)
    return "\n".join(lines) + "\n"


def _judged(act: Act, left: str, right: str) -> Iterable[str]:
    for known in {known for _, known in act.explained}:
        yield f"       (they differ as listed: {known.reason})"
    for one in act.unexplained:
        yield f"       They differ in {one.place}:"
        width = max(len(left), len(right))
        yield f"         {left:{width}}  {one.left}"
        yield f"         {right:{width}}  {one.right}"


def _seen(seen: Observation, indent: str) -> list[str]:
    lines = [f"{indent}{_step(step)}" for step in seen.steps]
    lines += [
        f"{indent}  upstream was asked: {asked}" + (f", {times} times" if times > 1 else "")
        for asked, times in seen.upstream.items()
    ]
    return lines + [f"{indent}{name}: {said}" for name, said in seen.disk.items()]


def _step(step: Step) -> str:
    headers = _headers(step.headers)
    body = step.body.strip() if step.status is None or step.status >= 400 else ""
    told = [str(step.status or "no answer"), *headers, *([body] if body else ())]
    told += [step.error] if step.error else []
    text = f"{step.request} -> {', '.join(told)}"
    return text if len(text) <= _LONGEST * 2 else f"{text[: _LONGEST * 2]} …"


def _headers(headers: Mapping[str, str]) -> list[str]:
    return [f"{name} {headers[name]}" for name in _TOLD[2:4] if name in headers]


def tell_search(found: Search, left: str, right: str) -> str:
    """The totals, in a few lines."""
    lines = [
        f"{found.played} sequences of seed {found.seed} on {left} and {right}: "
        + ("no unexplained difference" if found.found is None else "they differ")
    ]
    lines += [f"  listed, and met: {reason}" for reason in sorted(found.explained)]
    if found.by_chance:
        lines.append(f"  {len(found.by_chance)} differences did not come again in the same story:")
        lines += [f"    {one.difference.place}" for one in found.by_chance if one.difference]
    return "\n".join(lines) + "\n"
