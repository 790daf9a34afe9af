"""Deterministic content: the bytes are pinned, and they are what they claim to be."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.content import (
    CHUNK,
    SMALLEST_LAYER,
    Blob,
    a_layer,
    an_artifact,
    an_image,
    an_index,
)


def test_the_same_seed_gives_the_same_bytes_for_ever() -> None:
    """Recordings and documents name these digests: a change here breaks other people's files."""
    assert an_image().digest == PINNED["image"]
    assert an_image(oci=False).digest == PINNED["docker image"]
    assert an_index().digest == PINNED["index"]
    assert an_artifact().digest == PINNED["artifact"]
    assert Blob.of_size(1_000_000).digest == PINNED["blob"]


PINNED = {
    "image": "sha256:0a5d3682b65fbacf1f9225df7d0915093f020eb129756606539651ccba2eb842",
    "docker image": "sha256:4d36e6928f4a7aefd248778269085e6bf93700c5c5439303322d3ebcd1564b83",
    "index": "sha256:4e89f53dfd67085dfdefdc0a7cbf6bc670bdd3d4b849e77d941485ed07f3f991",
    "artifact": "sha256:ed1583b722d1e46c9ed39e64328fc4138cd18312727ed03764443a700fc9e0bf",
    "blob": "sha256:3bceacd775ee5cbf08c72421bdb3d0aeae156528efbf52f688dbaef72de6c93e",
}


@given(st.integers(SMALLEST_LAYER, 200_000))
@settings(max_examples=60, deadline=None)
def test_a_layer_is_an_archive_of_exactly_the_size_asked_for(size: int) -> None:
    layer = a_layer("seed", size)
    assert layer.size == len(layer.content) == size
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.content))) as archive:
        (member,) = archive.getmembers()
        assert member.isfile()


def test_a_layer_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="2048 bytes or more, not 100"):
        a_layer("seed", 100)


@given(st.integers(0, 3 * CHUNK), st.integers(0, 3 * CHUNK))
@settings(max_examples=40, deadline=None)
def test_a_part_of_generated_bytes_equals_that_part_of_the_whole(start: int, stop: int) -> None:
    blob = Blob.of_size(2 * CHUNK + 1234, "parts")
    part = b"".join(blob.chunks(start, stop))
    assert part == blob.content[start:stop]
    assert b"".join(Blob(blob.content).chunks(start, stop)) == part


def test_no_two_blocks_of_generated_bytes_are_equal() -> None:
    blocks = [bytes(chunk) for chunk in Blob.of_size(8 * CHUNK).chunks()]
    assert len(set(blocks)) == 8
    assert {len(block) for block in blocks} == {CHUNK}
