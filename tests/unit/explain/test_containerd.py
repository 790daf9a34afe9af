"""The explanation says what the model does, in the words of the question."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.content import an_image, an_index
from harness.nodes.explain.containerd_pull import explain_containerd, first_plan
from harness.nodes.explain.effects import EffectFinder
from harness.nodes.explain.explanation import BadInput, Explanation
from harness.nodes.explain.when import BEHAVIOURS, behaviour
from harness.nodes.models.attempts import ANONYMOUS
from harness.nodes.models.containerd.execution import simulate
from harness.nodes.models.containerd.releases import RELEASES
from tests.unit.explain.asking import question

IMAGE = "up.example/team/app:v1"
MIRRORED = {"up.example/hosts.toml": 'server = "https://up.example"\n[host."https://m1"]\n'}
MISSION = Path(__file__).parents[3] / "fixtures" / "mission"


def sequence(explanation: Explanation, number: int = 0) -> list[str]:
    return [f"{r.step} {r.method} {r.host} {r.result}" for r in explanation.rounds[number].requests]


def effects(explanation: Explanation, host: int = 0) -> dict[str, str]:
    return {e.behaviour: e.then for e in explanation.hosts[host].effects}


def test_each_step_with_its_line() -> None:
    found = explain_containerd(question(IMAGE, MIRRORED))
    assert sequence(found) == [
        "resolve HEAD m1 200 OK",
        "index GET m1 200 OK",
        "manifest GET m1 200 OK",
        "config GET m1 200 OK",
        "layer GET m1 200 OK",
    ]
    assert {str(r.place) for r in found.rounds[0].requests} == {
        "/etc/containerd/certs.d/up.example/hosts.toml:2"
    }
    assert {r.namespace for r in found.rounds[0].requests} == {"up.example"}


def test_mirror_down_goes_to_the_source_object_by_object() -> None:
    found = explain_containerd(question(IMAGE, MIRRORED, when=["m1=down"]))
    lines = sequence(found)
    assert lines[::2] == [
        f"{step} m1 connection refused"
        for step in ("resolve HEAD", "index GET", "manifest GET", "config GET", "layer GET")
    ]
    assert all("up.example 200" in line for line in lines[1::2])
    assert found.error is None


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


def test_a_hang_is_for_ever_before_2_3() -> None:
    before = explain_containerd(question(IMAGE, MIRRORED, release="2.1.9"))
    since = explain_containerd(question(IMAGE, MIRRORED, release="2.3.4"))
    assert effects(before)["hang"] == "waits for ever"
    assert effects(since)["hang"] == "next host"
    hang = explain_containerd(question(IMAGE, MIRRORED, release="2.1.9", when=["m1=hang"]))
    assert hang.rounds[0].seconds is None
    assert hang.error is not None
    assert "context deadline exceeded" in hang.error


def test_the_last_host_ends_the_pull() -> None:
    found = explain_containerd(question(IMAGE, MIRRORED))
    assert effects(found)["down"] == "next host"
    assert effects(found, 1)["down"] == "ends the pull"


def test_a_host_that_may_not_resolve_is_still_asked_for_content() -> None:
    tree = {"up.example/hosts.toml": '[host."https://m1"]\ncapabilities = ["pull"]\n'}
    found = explain_containerd(question(IMAGE, tree))
    assert not found.hosts[0].resolves
    assert "lack resolve" in found.hosts[0].why
    assert sequence(found)[:2] == ["resolve HEAD up.example 200 OK", "index GET m1 200 OK"]


def test_nobody_may_resolve() -> None:
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


def test_secret_for_the_mirror_is_not_used() -> None:
    asked = question(IMAGE, MIRRORED, secrets={"s": secret("m1")}, when=["m1=401"])
    found = explain_containerd(asked)
    (one,) = found.secrets
    assert not one.used
    assert "make the key up.example" in one.why
    assert {r.credential for r in found.rounds[0].requests} == {"none"}


def test_secret_for_the_image_goes_to_the_mirror_that_asks() -> None:
    asked = question(IMAGE, MIRRORED, secrets={"s": secret("up.example")}, when=["m1=basic"])
    found = explain_containerd(asked)
    assert found.secrets[0].used
    sent = [r.credential for r in found.rounds[0].requests]
    assert sent[:2] == ["none", "Basic as u, from s, key 'up.example'"]


def test_each_login_is_a_pull_of_its_own_until_one_succeeds() -> None:
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


@pytest.mark.parametrize(
    ("key", "used_by"), [("mirror-registry-1", None), ("mirror-registry-1.docker.io", "testuser")]
)
def test_registry_configs_count_by_contacted_host(key: str, used_by: str | None) -> None:
    theory = (MISSION / "theory/etc/containerd/config.toml").read_text(encoding="utf-8")
    config = "version = 2\n" + theory.replace('"mirror-registry-1"', f'"{key}"')
    hosts = (MISSION / "node/right.d/docker.io/hosts.toml").read_text(encoding="utf-8")
    when = ["mirror-registry-1.docker.io=basic"]
    asked = question("nginx", {"docker.io/hosts.toml": hosts}, config_toml=config, when=when)
    found = explain_containerd(asked)
    sent = {r.credential for r in found.rounds[0].requests if r.host in when[0]}
    users = {words.split()[2].rstrip(",") for words in sent if words.startswith("Basic")}
    assert users == ({used_by} if used_by else set())
    about = [remark for remark in found.remarks if key in remark.text]
    assert len(about) == (0 if used_by else 1)


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
def test_requests_and_error_are_the_models(tree: dict[str, str], release: str, name: str) -> None:
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
def test_hosts_of_one_kind_may_share_their_effects(tree: dict[str, str], release: str) -> None:
    plan = first_plan(question(IMAGE, tree, release=release))
    images = (
        an_index(an_image(layers=1, layer_size=2048)),
        an_index(an_image(layers=2, layer_size=2048)),
    )
    shared = EffectFinder(plan, images)
    for position in range(len(plan.hosts)):
        alone = EffectFinder(plan, images)
        assert shared.effects(position) == alone.effects(position)


@pytest.mark.parametrize(
    ("release", "head", "section", "cure"),
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
def test_a_section_that_is_not_read_is_told_with_its_cure(
    release: str, head: str, section: str, cure: str
) -> None:
    """And the cure is one."""
    text = f'[plugins.{section}.registry]\nconfig_path = "/nowhere"\n'

    def told(config: str) -> list[str]:
        found = explain_containerd(question(IMAGE, release=release, config_toml=config))
        return [one.text for one in found.remarks if "do nothing" in one.text]

    (said,) = told(head + text)
    assert cure in said
    cured = text.replace(section, '"io.containerd.grpc.v1.cri"')
    assert told(f"version = 2\n{cured}") == []


def test_a_when_for_a_host_that_only_the_files_know_is_told_and_no_mistake() -> None:
    """Who thinks that the mirror is asked learns that it is not, and where it is written."""
    tree = {"other.example/hosts.toml": '\n[host."https://m7:5000"]\n'}
    found = explain_containerd(question(IMAGE, tree, when=["m7:5000=down"]))
    (remark,) = (one for one in found.remarks if "never asked" in one.text)
    assert str(remark.place).endswith("other.example/hosts.toml:2")
    assert found.assumed == ()


# -- bad questions ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("image", "when", "says"),
    [
        (IMAGE, ["m9=down"], "names 'm9', which this pull never asks"),
        (IMAGE, ["m1"], "is not HOST=BEHAVIOUR"),
        (IMAGE, ["m1=sleepy"], "'sleepy' is none of down, "),
        (IMAGE, ["m1=299"], "'299' is none of"),
        (IMAGE, ["m1=404@tea"], "after @ stands one of"),
        (IMAGE, ["m1=down@layer"], "concerns all requests"),
        (IMAGE, ["m1=down", "m1=404"], "twice"),
        ("UP.example/Team", [], "names no image"),
    ],
)
def test_bad_questions(image: str, when: list[str], says: str) -> None:
    with pytest.raises(BadInput) as raised:
        explain_containerd(question(image, MIRRORED, when=when))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rules_for_single_objects_add_up() -> None:
    when = ["m1=404@layer", "m1=500@config"]
    found = explain_containerd(question(IMAGE, MIRRORED, when=when))
    assert [line for line in sequence(found) if "up.example" in line] == [
        "config GET up.example 200 OK",
        "layer GET up.example 200 OK",
    ]
