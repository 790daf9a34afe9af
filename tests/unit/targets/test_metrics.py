"""A scrape becomes numbers."""

from __future__ import annotations

import pytest

from harness.targets.readings import Metrics

TEXT = """\
# TYPE registry_http_requests_total counter
registry_http_requests_total{method="get",handler="blob",code="200"} 3
registry_http_requests_total{method="get",handler="manifest",code="200"} 4
registry_http_requests_total{method="head",handler="manifest",code="200"} 5
# TYPE up gauge
up 1
"""


def test_a_sample_is_found_by_its_text() -> None:
    metrics = Metrics.parse(TEXT)
    assert metrics["up"] == 1
    assert metrics['registry_http_requests_total{code="200",handler="blob",method="get"}'] == 3


def test_totals_are_over_the_labels_that_are_not_named() -> None:
    metrics = Metrics.parse(TEXT)
    assert metrics.total("registry_http_requests_total") == 12
    assert metrics.total("registry_http_requests_total", handler="manifest") == 9
    assert metrics.total("registry_http_requests_total", handler="manifest", method="get") == 4
    assert metrics.total("registry_http_requests_total", handler="tags") == 0
    assert metrics.total("absent") == 0


def test_something_else_is_refused() -> None:
    with pytest.raises(ValueError):
        Metrics.parse("<html>no metrics</html>\n")
