"""``url:`` targets of whole runs: from the command line to the matrix, and mistakes as one line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from harness.targets import parse_target
from tests.unit.report.examples import HOLDS, PULLS, run
from tests.unit.targets.conftest import Launch
from tests.unit.targets.running import a_port, cache_behind

DEVIATION_ON_DISK = """
[[deviation]]
scenario = "demo.pull"
implementation = "distribution"
versions = ["2.8"]
does = "keeps something else"
reference = "made up"
observed = { "disk: what it keeps" = "something else" }
"""
CLIENT_AND_DISK = """
@scenario("demo.pull", "It is pulled", level=MUST, refs=("spec",))
def test_pull(upstream, target, expect):
    image = upstream.add("team/app", an_image(), tags=("v1",))
    answer = target.proxy(upstream).get(
        f"/v2/team/app/manifests/{image.digest}", headers={"Accept": image.media_type}
    )
    expect.client("the bytes are right", answer.body == image.content, True)
    expect.disk("what it keeps", "something else", "the image")
"""
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


def test_a_run_on_a_cache_that_runs_already(pytester: pytest.Pytester, cache: list[str]) -> None:
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


def test_what_is_known_of_a_release_counts_and_its_disk_does_not(
    pytester: pytest.Pytester, cache: list[str]
) -> None:
    (pytester.path / "deviations.toml").write_text(DEVIATION_ON_DISK)
    known = ("--pullproof-known-as", "distribution@2.8")
    ended = run(pytester, CLIENT_AND_DISK, *cache, *known)
    ended.assert_outcomes(passed=1)
    assert ended.ret == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_address_is_for_one_process(
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
