"""``url:`` targets of whole runs: from the command line to the matrix, and mistakes as one line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from harness.targets import parse_target
from tests.unit.report.examples import HOLDS, PULLS, run
from tests.unit.targets.conftest import Launch
from tests.unit.targets.running import a_port, cache_behind

PUSHES = """
@scenario("demo.push", "It is pushed", level=MUST, refs=("spec",))
def test_push(target, expect):
    expect.client("status", target.standard().post("/v2/a/blobs/uploads/").status, 202)
"""


@pytest.fixture
def port() -> Iterator[int]:
    with a_port() as port:
        yield port


@pytest.fixture
def cache(launch: Launch, port: int) -> list[str]:
    """Options that lead to a cache that was started by hand, and whose upstream is ours."""
    running = cache_behind(launch, parse_target("reference@2.8"), port)
    at = f"127.0.0.1:{port}"
    return ["--target", f"url:{running.url}", "--pullproof-upstream-at", at]


def test_run_on_a_url_target(pytester: pytest.Pytester, cache: list[str]) -> None:
    out = pytester.path / "out.json"
    ended = run(pytester, HOLDS + PULLS + PUSHES, *cache, "--pullproof-json", str(out), "-rs")
    assert ended.ret == 0, ended.stdout.str()
    ended.stdout.fnmatch_lines(["*--allow-writes*"])
    document = json.loads(out.read_text())
    (column,) = document["targets"]
    assert (column["implementation"], column["version"]) == ("unknown", "unknown")
    results = {result["key"]: result["verdict"] for result in document["results"]}
    assert results["demo.push"] == "n/a"
    assert "holds" in results.values()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_upstream_at_refuses_xdist(
    pytester: pytest.Pytester, cache: list[str], workers: str
) -> None:
    ended = run(pytester, HOLDS, *cache, "-n", workers)
    assert ended.ret == 2
    ended.stderr.fnmatch_lines(["*--upstream-at serves*run without pytest-xdist's -n*"])
    assert "Traceback" not in ended.stdout.str() + ended.stderr.str()


def test_no_login_is_shown(pytester: pytest.Pytester, cache: list[str]) -> None:
    login = ("--pullproof-login", "robot:hunter2", "--pullproof-header", "X-Key: abcdefgh")
    wrong = "expect.client('status', target.proxy(upstream).get('/v2/').status, 201)"
    source = f"""
@scenario("demo.wrong", "It is otherwise", level=MUST, refs=("spec",))
def test_wrong(upstream, target, expect):
    {wrong}
"""
    out = pytester.path / "out.json"
    ended = run(pytester, source, *cache, *login, "-vv", "--pullproof-json", str(out))
    assert ended.ret == 1
    for text in (ended.stdout.str(), ended.stderr.str(), out.read_text()):
        assert "hunter2" not in text
        assert "abcdefgh" not in text
