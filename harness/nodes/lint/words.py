"""Words from files, in messages: quoted safely, and the known word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["nearest", "quoted"]


def quoted(value: object) -> str:
    """*value*, from a file, short and in quotes."""
    text = str(value)
    return repr(text if len(text) <= 80 else f"{text[:80]}...")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of *known* that *word* is most likely a slip of."""
    from reference_registry.config.reading import nearest as found  # only where there is a mistake

    return found(word[:80], known)
