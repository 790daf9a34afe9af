"""Pages of tags and of the catalog, with the quirks of each release."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_registry.http.pagination import TagPage, next_link, page, tag_page
from reference_registry.profiles import profile_named
from reference_registry.storage.layout import path_order

_TAGS = ["a", "b", "c", "d"]


def _page(profile: str, n: int | None, last: str | None) -> TagPage:
    return tag_page(_TAGS, n, last, profile_named(profile))


@pytest.mark.parametrize(
    ("profile", "n", "last", "tags", "following"),
    [
        ("ideal", None, None, _TAGS, None),
        ("ideal", 2, None, ["a", "b"], "b"),
        ("ideal", 2, "b", ["c", "d"], None),
        ("ideal", 4, None, _TAGS, None),
        ("ideal", 99, None, _TAGS, None),
        ("ideal", None, "b", ["c", "d"], None),
        ("ideal", 1, "bb", ["c"], "c"),
        ("ideal", None, "z", [], None),
        ("ideal", 0, None, [], None),
        ("2.8", 2, "b", _TAGS, None),  # neither is looked at
        ("3.0", 2, None, ["a", "b"], "b"),
        ("3.0", 4, None, _TAGS, None),
        ("3.0", None, "bb", ["d"], None),  # skips one too many
        ("3.0", None, "z", [], None),
        ("3.1", None, "bb", ["c", "d"], None),
        ("3.1", 4, None, _TAGS, "d"),  # a Link to an empty page
        ("3.1", 2, "b", ["c", "d"], "d"),
        ("3.1", 99, None, _TAGS, None),
        ("3.1", None, "z", None, None),
        ("3.1", 1, "d", None, None),
        ("3.1", 0, None, [], None),
    ],
)
def test_tag_pages(
    profile: str, n: int | None, last: str | None, tags: list[str] | None, following: str | None
) -> None:
    expected = TagPage(None if tags is None else tuple(tags), following)
    assert _page(profile, n, last) == expected


@pytest.mark.parametrize(
    ("profile", "tags"), [("ideal", ()), ("2.8", None), ("3.0", ()), ("3.1", None)]
)
def test_no_tags_at_all(profile: str, tags: tuple[str, ...] | None) -> None:
    assert tag_page([], None, None, profile_named(profile)) == TagPage(tags)


@given(st.lists(st.text("ab-/", min_size=1, max_size=4), unique=True), st.integers(1, 5))
def test_following_the_links_gives_each_name_once(names: list[str], n: int) -> None:
    names.sort(key=path_order)
    seen: list[str] = []
    last = None
    while True:
        chosen, last = page(names, n, last, key=path_order)
        seen += chosen
        if last is None:
            break
        assert len(chosen) == n
    assert seen == names


def test_link() -> None:
    assert next_link("/v2/a/tags/list", n=2, last="x/y z") == (
        "Link",
        '</v2/a/tags/list?last=x%2Fy+z&n=2>; rel="next"',
    )
    assert next_link("/p", n=None, last="b")[1] == '</p?last=b>; rel="next"'
