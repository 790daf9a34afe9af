"""The explanation of a containerd pull agrees with the model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.content import an_image, an_index
from harness.nodes.explain.containerd_pull import explain_containerd, first_plan, host_effects
from harness.nodes.explain.explanation import BadInput, Explanation
from harness.nodes.explain.when import BEHAVIOURS, behaviour
from harness.nodes.models.containerd.execution import simulate
from harness.nodes.models.containerd.releases import RELEASES
from harness.nodes.models.network import ANONYMOUS
from tests.unit.explain.asking import question

IMAGE = "up.example/team/app:v1"
MIRRORED = {"up.example/hosts.toml": 'server = "https://up.example"\n[host."https://m1"]\n'}


def sequence(explanation: Explanation, number: int = 0) -> list[str]:
    return [f"{r.step} {r.method} {r.host} {r.result}" for r in explanation.rounds[number].requests]


def effects(explanation: Explanation, host: int = 0) -> dict[str, str]:
    return {e.behaviour: e.then for e in explanation.hosts[host].effects}


def test_what_a_dead_host_costs() -> None:
    found = explain_containerd(question(IMAGE, MIRRORED))
    unreachable = next(e for e in found.hosts[0].effects if e.behaviour == "unreachable")
    assert (unreachable.then, unreachable.seconds, unreachable.per_object) == (
        "next host",
        150.0,
        30.0,
    )
    timed = {"up.example/hosts.toml": '[host."https://m1"]\ndial_timeout = "1s"\n'}
    found = explain_containerd(question(IMAGE, timed, release="2.1.9"))
    unreachable = next(e for e in found.hosts[0].effects if e.behaviour == "unreachable")
    assert unreachable.seconds == pytest.approx(5.0)


def test_a_hanging_host_has_no_timeout_before_2_3() -> None:
    before = explain_containerd(question(IMAGE, MIRRORED, release="2.1.9"))
    since = explain_containerd(question(IMAGE, MIRRORED, release="2.3.4"))
    assert effects(before)["hang"] == "waits forever"
    assert effects(since)["hang"] == "next host"
    hang = explain_containerd(question(IMAGE, MIRRORED, release="2.1.9", when=["m1=hang"]))
    assert hang.rounds[0].seconds is None
    assert hang.error is not None
    assert "context deadline exceeded" in hang.error


def test_a_host_without_resolve_still_serves_content() -> None:
    tree = {"up.example/hosts.toml": '[host."https://m1"]\ncapabilities = ["pull"]\n'}
    found = explain_containerd(question(IMAGE, tree))
    assert not found.hosts[0].resolves
    assert "lack resolve" in found.hosts[0].why
    assert sequence(found)[:2] == ["resolve HEAD up.example 200 OK", "index GET m1 200 OK"]


def test_a_pull_fails_if_no_host_may_resolve() -> None:
    tree = {
        "up.example/hosts.toml": 'server = "https://up.example"\ncapabilities = ["pull"]\n'
        '[host."https://m1"]\ncapabilities = ["pull"]\n'
    }
    found = explain_containerd(question(IMAGE, tree))
    assert found.error is not None
    assert "no resolve hosts" in found.error
    assert found.rounds[0].requests == ()


# -- credentials --------------------------------------------------------------------------------
def secret(*keys: str) -> str:
    entries = ", ".join(f'"{key}": {{"username": "{key[0]}", "password": "hush"}}' for key in keys)
    return f'{{"auths": {{{entries}}}}}'


def test_each_login_gets_its_own_pull_until_one_succeeds() -> None:
    keys = ("up.example", "up.example/team")
    whens = ["m1=down", "up.example=404"]
    found = explain_containerd(question(IMAGE, MIRRORED, secrets={"s": secret(*keys)}, when=whens))
    assert [one.title for one in found.rounds] == [
        "PullImage 1 of 2 with the login of s, key 'up.example/team'",
        "PullImage 2 of 2 with the login of s, key 'up.example'",
    ]
    assert found.error is not None
    works = explain_containerd(question(IMAGE, MIRRORED, secrets={"s": secret(*keys)}))
    assert len(works.rounds) == 1


# -- agreement with the model -------------------------------------------------------------------
NAMES = st.sampled_from(["m1", "m1:5000", "m2:80", "m3.example", "up.example"])
HOST = st.tuples(
    st.sampled_from(["http", "https"]),
    NAMES,
    st.sampled_from(
        ["", "skip_verify = true\n", 'capabilities = ["pull"]\n', 'dial_timeout="2s"\n']
    ),
)
TREES = st.lists(HOST, max_size=5, unique_by=lambda host: host[:2]).map(
    lambda hosts: {
        "up.example/hosts.toml": "".join(f'[host."{s}://{n}"]\n{rest}' for s, n, rest in hosts)
    }
)
RELEASE = st.sampled_from([release.version for release in RELEASES])


@settings(deadline=None, derandomize=True, database=None)
@given(TREES, RELEASE, st.sampled_from([*sorted(BEHAVIOURS.keys() - {"NNN"}), "404", "500@layer"]))
def test_requests_and_error_match_the_model(tree: dict[str, str], release: str, name: str) -> None:
    asked = question(IMAGE, tree, release=release)
    plan = first_plan(asked)
    host = plan.hosts[0].name
    found = explain_containerd(question(IMAGE, tree, release=release, when=[f"{host}={name}"]))
    image = an_index(an_image(layers=1, layer_size=2048))
    pull = simulate(plan, {host: behaviour(name, host, ANONYMOUS)}, image=image)
    assert [(r.method, r.host) for r in found.rounds[0].requests] == [
        (a.method, a.host) for a in pull.attempts
    ]
    assert found.error == (pull.error and pull.error.message)


@settings(deadline=None, derandomize=True, database=None)
@given(TREES, RELEASE)
def test_hosts_of_one_kind_share_their_effects(tree: dict[str, str], release: str) -> None:
    plan = first_plan(question(IMAGE, tree, release=release))
    known: dict[object, Any] = {}
    for position in range(len(plan.hosts)):
        assert host_effects(plan, position, known) == host_effects(plan, position, {})


@pytest.mark.parametrize(
    ("release", "head", "section", "fix"),
    [
        ("1.7.24", "", '"io.containerd.grpc.v1.cri"', "; write `version = 2` as first line"),
        (
            "2.1.9",
            "",
            "cri",
            "name the section 'io.containerd.grpc.v1.cri' and write `version = 2`",
        ),
        ("2.1.9", "version = 3\n", '"io.containerd.grpc.v1.cri"', "; write `version = 2`"),
        ("1.6.20", "", '"io.containerd.cri.v1.images"', "name the section"),
        ("2.3.4", "version = 4\n", '"io.containerd.grpc.v1.cri"', "; write `version = 2`"),
    ],
)
def test_a_section_that_is_not_read_is_reported_with_a_fix(
    release: str, head: str, section: str, fix: str
) -> None:
    """Applying the fix removes the warning."""
    text = f'[plugins.{section}.registry]\nconfig_path = "/nowhere"\n'

    def warnings(config: str) -> list[str]:
        found = explain_containerd(question(IMAGE, release=release, config_toml=config))
        return [one.text for one in found.remarks if "have no effect" in one.text]

    (said,) = warnings(head + text)
    assert fix in said
    fixd = text.replace(section, '"io.containerd.grpc.v1.cri"')
    assert warnings(f"version = 2\n{fixd}") == []


def test_a_when_for_a_host_that_is_only_in_the_files_is_a_note() -> None:
    """The pull never contacts the host: that is the answer, with the line that names it."""
    tree = {"other.example/hosts.toml": '\n[host."https://m7:5000"]\n'}
    found = explain_containerd(question(IMAGE, tree, when=["m7:5000=down"]))
    (remark,) = (one for one in found.remarks if "never contacts" in one.text)
    assert str(remark.place).endswith("other.example/hosts.toml:2")
    assert found.assumed == ()


# -- bad questions ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("image", "when", "says"),
    [
        (IMAGE, ["m9=down"], "names 'm9', which this pull never contacts"),
        (IMAGE, ["m1"], "is not HOST=BEHAVIOUR"),
        (IMAGE, ["m1=sleepy"], "unknown behaviour 'sleepy' (known: down, "),
        (IMAGE, ["m1=dwn"], "did you mean down?"),
        (IMAGE, ["m1=299"], "unknown behaviour '299'"),
        (IMAGE, ["m1=404@tea"], "unknown request 'tea' after @"),
        (IMAGE, ["m1=down@layer"], "applies to all requests"),
        (IMAGE, ["m1=down", "m1=404"], "twice"),
        ("UP.example/Team", [], "is not an image name"),
    ],
)
def test_bad_questions(image: str, when: list[str], says: str) -> None:
    with pytest.raises(BadInput) as raised:
        explain_containerd(question(image, MIRRORED, when=when))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rules_for_single_objects_are_combined() -> None:
    when = ["m1=404@layer", "m1=500@config"]
    found = explain_containerd(question(IMAGE, MIRRORED, when=when))
    assert [line for line in sequence(found) if "up.example" in line] == [
        "config GET up.example 200 OK",
        "layer GET up.example 200 OK",
    ]
