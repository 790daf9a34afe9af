"""The grammar of names and tags; nothing that is accepted leads out of its directory."""

from __future__ import annotations

import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_registry.names import (
    DISTRIBUTION_NAME,
    DISTRIBUTION_REFERENCE,
    is_repository_name,
    is_tag,
)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("a", True),
        ("library/nginx", True),
        ("a.b/c_d/e__f/g--h", True),
        ("0", True),
        ("a" * 255, True),
        ("a" * 256, False),
        ("", False),
        ("A", False),
        ("a/", False),
        ("/a", False),
        ("a//b", False),
        ("a..b", False),
        ("a___b", False),
        ("a_", False),
        (".a", False),
        ("..", False),
        ("a/../b", False),
        ("_layers", False),
        ("a/_manifests", False),
        ("host:5000/a", False),
        ("a\n", False),
        ("é", False),
    ],
)
def test_repository_names(name: str, valid: bool) -> None:
    assert is_repository_name(name) is valid


@pytest.mark.parametrize(
    ("tag", "valid"),
    [
        ("latest", True),
        ("V1.2_3-4", True),
        ("_", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        (".", False),
        ("..", False),
        ("-a", False),
        ("a/b", False),
        ("a:b", False),
        ("a\n", False),
    ],
)
def test_tags(tag: str, valid: bool) -> None:
    assert is_tag(tag) is valid


@given(st.text("aB0._-/:", max_size=12))
def test_no_name_leaves_its_directory(text: str) -> None:
    accepted = (
        is_repository_name(text)
        or re.fullmatch(DISTRIBUTION_NAME, text)
        or re.fullmatch(DISTRIBUTION_REFERENCE, text)
    )
    if accepted:
        path = f"/root/{text}/link"
        assert posixpath.normpath(path) == path


@pytest.mark.parametrize(
    ("name", "valid"),
    [("host:5000/b", True), ("Host.example/b", True), ("Abc", False), ("Abc/Def", False)],
)
def test_what_distribution_routes(name: str, valid: bool) -> None:
    assert (re.fullmatch(DISTRIBUTION_NAME, name) is not None) is valid


@pytest.mark.parametrize(
    ("reference", "valid"),
    [
        ("sha256:abc", True),
        ("sha256:" + "z" * 64, True),
        ("a.b:Z=_-", True),
        ("SHA256:abc", False),
        ("a..b:x", False),
        ("_a:x", False),
        ("sha256:a+b", False),
    ],
)
def test_what_distribution_takes_for_a_digest(reference: str, valid: bool) -> None:
    """As measured of GET of a manifest on 2.8.2, 3.0.0 and 3.1.1: 404 page not found, or else."""
    assert (re.fullmatch(DISTRIBUTION_REFERENCE, reference) is not None) is valid
