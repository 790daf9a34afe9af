"""What a pull does when hosts fail, challenge, or lie: the story of the mission, in tests."""

from __future__ import annotations

import math

import pytest

from harness.content import an_image, an_index
from harness.nodes.models.attempts import Login
from harness.nodes.models.behaviours import Action, Challenge, HostBehaviour, Rule
from harness.nodes.models.containerd.execution import simulate
from harness.nodes.models.containerd.plan import Plan, Pull
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import AuthConfig, Cri, Ctr

IMAGE = "reg.example/team/app:v1"
CERTS_D = {"reg.example/hosts.toml": '[host."http://mirror.example"]\n'}
NO_MIRROR = {"mirror.example": HostBehaviour(down=True)}
ASKS_FOR_BASIC = HostBehaviour(challenge=Challenge("basic", "u:p"))


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
    def test_a_healthy_mirror_is_asked_for_everything(self) -> None:
        pull = simulate(the_plan())
        assert asked(pull) == ["mirror HEAD 200", *["mirror GET 200"] * 3]
        assert {attempt.ns for attempt in pull.attempts} == {"reg.example"}
        assert pull.outcome == "ok"

    def test_a_dead_mirror_is_tried_again_for_every_object(self) -> None:
        pull = simulate(the_plan(), NO_MIRROR)
        assert asked(pull) == ["reg HEAD 200", *["reg GET 200"] * 3]
        assert [a.host for a in pull.attempts if not a.received] == ["mirror.example"] * 4

    def test_a_mirror_that_swallows_packets_costs_half_a_minute_an_object(self) -> None:
        pull = simulate(the_plan(), {"mirror.example": HostBehaviour(unreachable=True)})
        assert (pull.outcome, pull.seconds_lost) == ("ok", 120.0)

    def test_dial_timeout_bounds_what_it_costs(self) -> None:
        tree = {"reg.example/hosts.toml": '[host."http://mirror.example"]\ndial_timeout = "500ms"'}
        plan = resolve_plan(IMAGE, tree, release="2.1.9")
        pull = simulate(plan, {"mirror.example": HostBehaviour(unreachable=True)})
        assert pull.seconds_lost == 2.0

    def test_a_mirror_without_the_image_is_asked_for_every_object(self) -> None:
        pull = simulate(the_plan(), {"mirror.example": HostBehaviour(store=False)})
        assert asked(pull) == [
            *("mirror HEAD 404", "reg HEAD 200"),
            *("mirror GET 404", "reg GET 200") * 3,
        ]

    @pytest.mark.parametrize(("release", "times"), [("1.6.20", 6), ("2.1.9", 6), ("2.3.4", 5)])
    def test_a_mirror_at_its_limit_is_hit_several_times_at_once(
        self, release: str, times: int
    ) -> None:
        mirror = answers(429, method="HEAD")
        pull = simulate(the_plan(release), {"mirror.example": mirror})
        assert asked(pull)[: times + 1] == ["mirror HEAD 429"] * times + ["reg HEAD 200"]
        assert pull.attempts[1].because == f"repeated at once after 429 (2 of {times})"

    def test_the_last_host_gets_a_second_chance_since_2_1(self) -> None:
        both = {"mirror.example": answers(503), "reg.example": answers(503)}
        old, new = (simulate(the_plan(release), both) for release in ("2.0.0", "2.1.9"))
        assert asked(old) == ["mirror HEAD 503", "reg HEAD 503"]
        assert asked(new) == ["mirror HEAD 503", "reg HEAD 503", "reg HEAD 503"]

    def test_a_layer_missing_at_the_mirror_comes_from_the_source(self) -> None:
        pull = simulate(the_plan(), {"mirror.example": answers(404, obj="layer")})
        assert asked(pull)[-2:] == ["mirror GET 404", "reg GET 200"]
        assert pull.attempts[-1].because == "mirror.example answered 404"

    def test_a_mirror_that_answers_with_a_web_page_ends_the_pull(self) -> None:
        portal = HostBehaviour(rules=(Rule(Action(html=True), obj="layer"),))
        pull = simulate(the_plan(), {"mirror.example": portal})
        assert pull.error is not None
        assert pull.error.message.endswith(
            "failed to read expected number of bytes: unexpected EOF"
        )

    def test_a_body_cut_short_is_continued_from_the_first_host(self) -> None:
        cut = HostBehaviour(
            rules=(
                Rule(Action(truncate=100), obj="layer", times=1),
                Rule(Action(status=404), obj="layer"),
            )
        )
        pull = simulate(the_plan(), {"mirror.example": cut})
        assert asked(pull)[-3:] == ["mirror GET None", "mirror GET 404", "reg GET 206"]
        assert pull.attempts[-2].because == "first host for the layer, continued at byte 100"

    def test_nothing_but_patience_ends_a_pull_from_a_silent_mirror(self) -> None:
        silent = {"mirror.example": HostBehaviour(silent=True)}
        pull = simulate(the_plan("2.1.9"), silent)
        assert pull.error is not None
        assert (pull.error.code, pull.seconds_lost) == ("DEADLINE_EXCEEDED", math.inf)
        assert simulate(the_plan("2.3.0"), silent).seconds_lost == 120.0

    def test_of_an_index_the_platform_is_chosen(self) -> None:
        index = an_index(platforms=("linux/arm64", "linux/amd64"))
        pull = simulate(the_plan(), image=index)
        paths = [attempt.path.rpartition("/")[2] for attempt in pull.attempts]
        amd64 = index.children[1]
        assert paths[1:4] == [index.digest, amd64.digest, amd64.blobs[0].digest]

    @pytest.mark.parametrize(
        ("release", "message"),
        [
            ("1.7.24", "dial tcp mirror.example:80: connect: connection refused"),
            ("2.1.9", "failed to resolve image: reg.example/team/app:v1: not found"),
        ],
    )
    def test_which_host_gets_the_blame(self, release: str, message: str) -> None:
        pull = simulate(the_plan(release), {**NO_MIRROR, "reg.example": HostBehaviour(store=False)})
        assert pull.error is not None
        assert pull.error.message.endswith(message)


class TestCredentials:
    SECRET = AuthConfig(username="u", password="p")

    def test_a_secret_is_sent_only_to_who_asks(self) -> None:
        pull = simulate(the_plan(puller=Cri(self.SECRET)))
        assert {str(attempt.credential) for attempt in pull.attempts} == {"none"}

    def test_a_secret_without_an_address_goes_to_a_mirror_that_asks(self) -> None:
        pull = simulate(the_plan(puller=Cri(self.SECRET)), {"mirror.example": ASKS_FOR_BASIC})
        assert [str(attempt.credential) for attempt in pull.attempts] == [
            *("none", "basic:u"),
            *("none", "basic:u"),
            *("basic:u", "basic:u"),
        ]

    def test_an_address_without_a_scheme_matches_nothing(self) -> None:
        auth = AuthConfig(username="u", password="p", server_address="mirror.example")
        pull = simulate(the_plan(puller=Cri(auth)), {"mirror.example": ASKS_FOR_BASIC})
        assert asked(pull)[:2] == ["mirror HEAD 401", "reg HEAD 200"]

    @pytest.mark.parametrize(
        ("key", "first"), [("mirror.example", "mirror"), ("reg.example", "reg")]
    )
    def test_node_credentials_are_for_the_host_contacted(self, key: str, first: str) -> None:
        config = (
            'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n'
            'config_path = "/etc/containerd/certs.d"\n'
            f'[plugins."io.containerd.grpc.v1.cri".registry.configs."{key}".auth]\n'
            'username = "u"\npassword = "p"\n'
        )
        both = {"mirror.example": ASKS_FOR_BASIC, "reg.example": ASKS_FOR_BASIC}
        pull = simulate(the_plan(config_toml=config), both)
        assert pull.outcome == "ok"
        assert next(a.host for a in pull.attempts if a.status == 200).startswith(first)
        excluded = simulate(
            resolve_plan(IMAGE, CERTS_D, config_toml=config, puller=Cri(AuthConfig())), both
        )
        assert excluded.outcome == "error"

    def test_ctr_sends_its_user_to_whoever_asks(self) -> None:
        files = {f"/certs.d/{path}": text for path, text in CERTS_D.items()}
        puller = Ctr(hosts_dir="/certs.d", login=Login("u", "p"))
        plan = resolve_plan(IMAGE, files=files, puller=puller)
        pull = simulate(plan, {"mirror.example": ASKS_FOR_BASIC})
        assert str(pull.attempts[1].credential) == "basic:u"

    def test_no_secret_shows_when_a_pull_is_printed(self) -> None:
        token = HostBehaviour(
            challenge=Challenge("bearer", realm="http://tokens.example/token", service="s")
        )
        hidden = AuthConfig(username="user", password="s3cret-password")
        for mirror in (HostBehaviour(challenge=Challenge("basic", "user:s3cret-password")), token):
            pull = simulate(the_plan(puller=Cri(hidden)), {"mirror.example": mirror})
            assert any(attempt.credential.secret or attempt.form for attempt in pull.attempts)
            assert "s3cret-password" not in repr(pull)

    def test_a_redirect_to_a_stranger_carries_no_credential(self) -> None:
        mirror = HostBehaviour(
            challenge=Challenge("basic", "u:p"),
            rules=(Rule(Action(redirect="http://cdn.example{path}"), obj="layer", auth="some"),),
        )
        pull = simulate(the_plan(puller=Cri(self.SECRET)), {"mirror.example": mirror})
        assert asked(pull)[-2:] == ["mirror GET 307", "cdn GET 200"]
        assert str(pull.attempts[-1].credential) == "none"
        assert pull.attempts[-1].ns is None

    def test_redirects_in_a_circle_end(self) -> None:
        circle = HostBehaviour(rules=(Rule(Action(redirect="http://mirror.example{path}")),))
        pull = simulate(the_plan(), {"mirror.example": circle})
        assert asked(pull)[:12] == ["mirror HEAD 307"] * 10 + ["reg HEAD 200", "mirror GET 307"]


class TestPush:
    def test_a_push_stops_at_the_first_host_that_may_be_pushed_to(self) -> None:
        files = {f"/certs.d/{path}": text for path, text in CERTS_D.items()}
        plan = resolve_plan(IMAGE, files=files, puller=Ctr(command="push", hosts_dir="/certs.d"))
        image = an_image(layers=1)
        empty = {"mirror.example": HostBehaviour(store=False)}
        pushed = simulate(plan, empty, image=image)
        assert [f"{a.method} {a.status}" for a in pushed.attempts if not a.lane] == [
            "HEAD 404",
            "PUT 201",
        ]
        assert {a.host for a in pushed.attempts} == {"mirror.example"}
        assert simulate(plan, {"mirror.example": answers(403)}, image=image).outcome == "error"
