"""The ``Link`` to the next page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_registry.proxy.upstream.client import next_link


@pytest.mark.parametrize(
    ("lines", "target"),
    [
        (['</v2/a/tags/list?last=b&n=2>; rel="next"'], "/v2/a/tags/list?last=b&n=2"),
        (["</x>; rel=next"], "/x"),
        (['</p>; rel="prev", </n>; rel="next"'], "/n"),
        (['</p>; rel="prev"', '</n>; rel="next"'], "/n"),
        (['</x>; title="a"; rel="last next"'], "/x"),
        (['</x>; rel="nexto"'], None),
        (["</x>"], None),
        (["</x>; rel=prev"], None),
        (["nonsense"], None),
        ([], None),
        (["<" + "x" * 20_000 + '>; rel="next"'], None),
    ],
)
def test_next_link(lines: list[str], target: str | None) -> None:
    assert next_link(lines) == target


@given(st.lists(st.text(max_size=300), max_size=3))
def test_any_text_is_read_without_an_error(lines: list[str]) -> None:
    next_link(lines)
