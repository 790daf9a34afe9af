"""Runs and documents that the tests of reports share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

PREAMBLE = """
from harness.suite.scenario import INFO, MUST, SHOULD, Need, scenario
from harness.content import an_image
"""

HOLDS = '''
@scenario("demo.base", "The API root answers", level=MUST, refs=("spec", "d#1"))
def test_base(target, expect):
    """Clients ask ``/v2/`` first."""
    expect.client("status", target.standard().get("/v2/").status, 200)
'''

PULLS = """
@scenario("cache.cold", "A cold pull costs one body", level=SHOULD, refs=("d#3569",))
def test_cold(upstream, target, expect):
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    for which in ("status", "again"):
        answer = cache.get("/v2/team/app/manifests/v1", headers=accept)
        expect.client(which, answer.status, 200)
"""

WRONG = """
@scenario("demo.teapot", "The API root is a teapot", level=MUST, refs=("spec",))
def test_teapot(upstream, target, expect):
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    cache.get("/v2/team/app/manifests/v1")
    expect.client("status", cache.get("/v2/").status, 418)
"""

NOT_OFFERED = """
@scenario("demo.keys", "It supports x- keys", level=INFO, refs=("docs",), needs={Need.X_KEYS})
def test_keys(target, expect):
    expect.client("status", target.standard().get("/v2/").status, 200)
"""

DEVIATION = """
[[deviation]]
scenario = "demo.teapot"
implementation = "distribution"
versions = ["2.8"]
does = "is no teapot"
reference = "RFC 2324"
advice = "drink coffee"
observed = { "client: status" = 200 }
"""


def run(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    """A pytest run, in a process of its own, of the scenarios in *source*."""
    pytester.makepyfile(test_demo=PREAMBLE + source)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def results_of(pytester: pytest.Pytester, source: str, *arguments: str) -> dict[str, Any]:
    """The document that such a run writes."""
    path = pytester.path / "results.json"
    run(pytester, source, "--pullproof-json", str(path), *arguments)
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def cell(document: Mapping[str, Any], key: str, target: str = "reference@ideal") -> Any:
    """One result of *document*."""
    (found,) = [one for one in document["results"] if one["key"] == key and one["target"] == target]
    return found


def write(document: Mapping[str, Any], path: Path) -> Path:
    """*path*, once *document* stands there."""
    path.write_text(json.dumps(document))
    return path
