"""When two columns of one release match."""

from __future__ import annotations

from harness.suite.deviations import Verdict
from harness.suite.expectation import Finding
from harness.suite.results import Matrix, Result


def _cell(
    target: str, verdict: Verdict, observed: int | None = None, excused: tuple[str, ...] = ()
) -> Result:
    findings = (
        () if observed is None else (Finding("client", "status", 200, observed, observed == 200),)
    )
    return Result("a.b", "claim", "MUST", (), target, verdict, findings, excused=excused)


def _unequal(left: Result, right: Result) -> list[str]:
    return Matrix.of([left, right], ["left", "right"]).unequal("left", "right")


def test_cells_with_equal_mismatches_match() -> None:
    deviates = _cell("left", Verdict.DEVIATES, 500)
    assert _unequal(deviates, _cell("right", Verdict.DEVIATES, 500)) == []
    assert _unequal(deviates, _cell("right", Verdict.DEVIATES, 404)) == [
        "a.b: left {'client: status': 500}, right {'client: status': 404}"
    ]
    assert _unequal(deviates, _cell("right", Verdict.HOLDS, 200)) == [
        "a.b: left {'client: status': 500}, right as expected"
    ]


def test_excused_findings_do_not_count() -> None:
    excused = _cell("left", Verdict.DEVIATES, 500, ("client: status",))
    assert _unequal(excused, _cell("right", Verdict.HOLDS, 200)) == []


def test_a_cell_that_does_not_apply_matches_any() -> None:
    missing = _cell("left", Verdict.NOT_APPLICABLE)
    for verdict, observed in ((Verdict.HOLDS, 200), (Verdict.DEVIATES, 500)):
        assert _unequal(missing, _cell("right", verdict, observed)) == []


def test_a_failure_without_findings_matches_no_other() -> None:
    assert _unequal(_cell("left", Verdict.FAILS), _cell("right", Verdict.HOLDS, 200)) != []
