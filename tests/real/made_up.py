"""Stories that hypothesis makes up, played to a real client one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

__all__ = ["play_made_up"]


def play_made_up(
    stories: st.SearchStrategy[dict[str, Any]],
    play: Callable[[dict[str, Any]], None],
    *,
    count: int,
    seed: int,
) -> int:
    """Call *play* with *count* of *stories*, the same for the same *seed*, and return how often it
    was called. A story for which it raises is shrunk to its simplest form, and raised for again."""
    played = 0

    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(story=stories)
    def each(story: dict[str, Any]) -> None:
        nonlocal played
        played += 1
        play(story)

    each()
    return played
