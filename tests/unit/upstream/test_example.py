"""The example in the package's docstring runs."""

from __future__ import annotations

import doctest

import harness.upstream


def test_the_example() -> None:
    result = doctest.testmod(harness.upstream)
    assert (result.attempted, result.failed) == (2, 0)
