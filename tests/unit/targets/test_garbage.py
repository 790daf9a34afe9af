"""Output of garbage-collect, as 2.8.2 and 3.0.0 print it."""

from __future__ import annotations

from harness.targets.readings import GcRun

A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")


def test_output_of_2_8() -> None:
    run = GcRun(
        0,
        f"team/app\nteam/app: marking manifest {A} \nteam/app: marking blob {B}\n"
        f"manifest eligible for deletion: {C}\nplain\n\n"
        "2 blobs marked, 1 blobs and 1 manifests eligible for deletion\n"
        f"blob eligible for deletion: {D}\n",
        "",
    )
    assert run.repositories == {"team/app", "plain"}
    assert run.marked == {A, B}
    assert run.eligible_manifests == {C}
    assert run.eligible_blobs == {D}
    assert run.summary == "2 blobs marked, 1 blobs and 1 manifests eligible for deletion"


def test_output_of_3_0() -> None:
    run = GcRun(
        0,
        f"team/app\nteam/app: marking manifest {A} \n"
        f"manifest eligible for deletion: {{team/app {B} [v1 v2]}}\n"
        f"manifest eligible for deletion: {{team/app {C} []}}\n\n"
        "1 blobs marked, 1 blobs and 2 manifests eligible for deletion\n"
        f"blob eligible for deletion: {D}\n"
        f"team/app: layer link eligible for deletion: {D}\n",
        "",
    )
    assert run.repositories == {"team/app"}
    assert run.eligible_manifests == {B, C}
    assert run.eligible_blobs == {D}
