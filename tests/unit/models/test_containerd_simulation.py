"""What a pull does when hosts fail, challenge, or lie: the story of the mission, in tests."""

from __future__ import annotations

import math

from harness.content import an_index
from harness.nodes.models.behaviours import Action, Challenge, HostBehaviour, Rule
from harness.nodes.models.containerd.execution import simulate
from harness.nodes.models.containerd.plan import Plan, Pull
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import AuthConfig, Cri

IMAGE = "reg.example/team/app:v1"
CERTS_D = {"reg.example/hosts.toml": '[host."http://mirror.example"]\n'}
NO_MIRROR = {"mirror.example": HostBehaviour(down=True)}


def the_plan(
    release: str = "1.6.20", puller: Cri | None = None, config_toml: str | None = None
) -> Plan:
    return resolve_plan(
        IMAGE, CERTS_D, release=release, puller=puller or Cri(), config_toml=config_toml
    )


def asked(pull: Pull) -> list[str]:
    """``mirror HEAD 200``, for every request that a server saw."""
    return [f"{a.host.split('.')[0]} {a.method} {a.status}" for a in pull.received]


def answers(status: int, *, method: str | None = None, obj: str | None = None) -> HostBehaviour:
    return HostBehaviour(rules=(Rule(Action(status=status), method=method, obj=obj),))


class TestFallback:
    def test_an_unreachable_mirror_costs_30_seconds_per_object(self) -> None:
        pull = simulate(the_plan(), {"mirror.example": HostBehaviour(unreachable=True)})
        assert (pull.outcome, pull.seconds_lost) == ("ok", 120.0)

    def test_dial_timeout_limits_the_cost(self) -> None:
        tree = {"reg.example/hosts.toml": '[host."http://mirror.example"]\ndial_timeout = "500ms"'}
        plan = resolve_plan(IMAGE, tree, release="2.1.9")
        pull = simulate(plan, {"mirror.example": HostBehaviour(unreachable=True)})
        assert pull.seconds_lost == 2.0

    def test_a_truncated_body_is_continued_from_the_first_host(self) -> None:
        cut = HostBehaviour(
            rules=(
                Rule(Action(truncate=100), obj="layer", times=1),
                Rule(Action(status=404), obj="layer"),
            )
        )
        pull = simulate(the_plan(), {"mirror.example": cut})
        assert asked(pull)[-3:] == ["mirror GET None", "mirror GET 404", "reg GET 206"]
        assert pull.attempts[-2].because == "first host for the layer, continued at byte 100"

    def test_only_the_deadline_ends_a_pull_from_a_silent_mirror(self) -> None:
        silent = {"mirror.example": HostBehaviour(silent=True)}
        pull = simulate(the_plan("2.1.9"), silent)
        assert pull.error is not None
        assert (pull.error.code, pull.seconds_lost) == ("DEADLINE_EXCEEDED", math.inf)
        assert simulate(the_plan("2.3.0"), silent).seconds_lost == 120.0

    def test_the_platform_of_an_index_is_chosen(self) -> None:
        index = an_index(platforms=("linux/arm64", "linux/amd64"))
        pull = simulate(the_plan(), image=index)
        paths = [attempt.path.rpartition("/")[2] for attempt in pull.attempts]
        amd64 = index.children[1]
        assert paths[1:4] == [index.digest, amd64.digest, amd64.blobs[0].digest]


class TestCredentials:
    def test_the_repr_of_a_pull_shows_no_secret(self) -> None:
        token = HostBehaviour(
            challenge=Challenge("bearer", realm="http://tokens.example/token", service="s")
        )
        hidden = AuthConfig(username="user", password="s3cret-password")
        for mirror in (HostBehaviour(challenge=Challenge("basic", "user:s3cret-password")), token):
            pull = simulate(the_plan(puller=Cri(hidden)), {"mirror.example": mirror})
            assert any(attempt.credential.secret or attempt.form for attempt in pull.attempts)
            assert "s3cret-password" not in repr(pull)
