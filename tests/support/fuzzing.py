"""Targets of fuzzing, and inputs for them: fixtures, mutated, and raw text or bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

LINT = Path(__file__).parents[2] / "fixtures" / "lint"
_HOSTILE = (
    *("9" * 5000, "-1", "1e999", "NaN", "null", "true", "0x10", "2026-01-01T00:00:00Z"),
    *("[" * 2000, '{"a":' * 500, "{", "}", "]", '"', "'", "\\", "\\ud800", "\\u0000", "\x00"),
    *("&a [*a]", "<<: *a", "*a", "!!python/object:os.system", "? ", "- ", ": ", "#", "\t", "\r\n"),
    *("é", "٣", "\u2028", "\x1b[31m", "\ufeff", "../" * 50, "%2e%2e", "@", ":", "//", "[::1", ","),
)


@dataclass(frozen=True)
class Target:
    """``function`` takes every one of ``inputs``; ``answers`` are its documented exceptions."""

    name: str
    inputs: st.SearchStrategy[Any]
    function: Callable[[Any], object]
    answers: tuple[type[Exception], ...] = ()


def examples(*names: str) -> list[str]:
    """The good and bad files of lint's fixtures that have one of *names*."""
    files = sorted(file for name in names for file in LINT.rglob(name) if file.is_file())
    return sorted({file.read_bytes().decode(errors="replace") for file in files})


@st.composite
def mutated(draw: st.DrawFn, texts: Sequence[str]) -> str:
    """One of *texts* with a few spans replaced: by hostile text, by a part of another, or by
    nothing."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 2, 5, 20, 200])))
        other = draw(st.sampled_from(texts))
        at = draw(st.integers(0, len(other)))
        parts = st.sampled_from(_HOSTILE) | st.just(other[at : at + 40]) | st.just("")
        text = text[:start] + draw(parts) + text[end:]
    return text


def texts(given: Sequence[str], *, codec: str = "utf-8") -> st.SearchStrategy[str]:
    """*given* as :func:`mutated` changes them, and any text that *codec* can have."""
    whole = mutated(given)
    if codec != "utf-8":
        whole = whole.map(lambda text: text.encode(codec, "replace").decode(codec))
    return whole | st.text(st.characters(codec=codec), max_size=200)


def contents(given: Sequence[str]) -> st.SearchStrategy[bytes]:
    """As :func:`texts`, in UTF-8, and raw bytes."""
    return texts(given).map(str.encode) | st.binary(max_size=200)


def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value, with half surrogate pairs and numbers of any size."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=12,
    )
