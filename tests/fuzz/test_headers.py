"""Headers and names: ranges, references, challenges, links."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from harness.nodes.models.reference import InvalidReference, ctr_reference, normalised_reference
from reference_registry.digest import parse_digest
from reference_registry.http.ranges import RangeRefused, wanted_ranges
from reference_registry.names import below_host, is_repository_name, is_tag
from reference_registry.proxy.upstream.challenge import parse_challenges
from reference_registry.proxy.upstream.client import next_link
from tests.support.fuzzing import Target, texts
from tests.support.requests import a_request

_DIGEST = "sha256:" + "a" * 64
_IMAGES = ["nginx", "reg.example:5000/team/app:v1", f"docker.io/library/a@{_DIGEST}", "[::1]:5/a:b"]
_CHALLENGES = [
    'Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull"',
    'Negotiate dG9rZW4=, Basic realm="a \\"b\\"", Bearer realm = c , , error=x',
]
_LINKS = ['</v2/a/tags/list?last=b&n=2>; rel="next"', "<https://r/x>; rel=next", '</p>; rel="a b"']
_RANGES = ["bytes=0-0", "bytes=2-", "bytes=-3", "bytes= 0 - 1 ,, 3-3", "bytes=0-9,0-9", "lines=1-2"]


def _ranges(given: tuple[str, int, bool]) -> None:
    header, size, as_go = given
    found = wanted_ranges(a_request(range=header), '"etag"', size, as_go=as_go)
    assert all(0 <= one.start < one.start + one.length <= size for one in found)


def _names(text: str) -> None:
    assert not is_repository_name(text) or (text.isascii() and not {"..", "."} & {*text.split("/")})
    assert not is_tag(text) or "/" not in text
    below_host(text)
    parse_digest(text)


def _reference(text: str) -> None:
    found = normalised_reference(text)
    assert normalised_reference(str(found)) == found


def _challenges(lines: list[str]) -> None:
    assert all(one.scheme == one.scheme.lower() != "" for one in parse_challenges(lines))


_SIZES = st.integers(0, 20) | st.integers(0, 2**64)
TARGETS = [
    Target(
        "ranges",
        st.tuples(texts(_RANGES, codec="latin-1"), _SIZES, st.booleans()),
        _ranges,
        (RangeRefused,),
    ),
    Target("names", texts(_IMAGES), _names),
    Target("references", texts(_IMAGES), _reference, (InvalidReference,)),
    Target("references of ctr", texts(_IMAGES), ctr_reference, (InvalidReference,)),
    Target("challenges", st.lists(texts(_CHALLENGES, codec="latin-1"), max_size=3), _challenges),
    Target("links", st.lists(texts(_LINKS, codec="latin-1"), max_size=3), next_link),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_headers(target: Target, fuzz: Callable[[Target], None]) -> None:
    fuzz(target)
