"""The containerd model where no measured case tests it: lines, errors, costs, options."""

from __future__ import annotations

from dataclasses import fields

import pytest

from harness.nodes.models.containerd.execution import simulate
from harness.nodes.models.containerd.hosts_toml import InvalidHostsFile, parse_hosts_toml
from harness.nodes.models.containerd.plan import ContainerdPull, Plan, PlannedHost
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import AuthConfig, Cri, Ctr, Puller, UnknownArgument
from harness.nodes.models.containerd.releases import (
    RELEASES,
    Release,
    UnknownRelease,
    release_named,
)
from harness.nodes.models.simulated_network import (
    HostAction,
    HostBehaviour,
    HostChallenge,
    HostRule,
)

IMAGE = "reg.example:5000/team/app:v1"
DIGEST = "sha256:" + "a" * 64

BOTH = """\
version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/a"
[plugins."io.containerd.grpc.v1.cri".registry.mirrors.x]
  endpoint = ["y"]
"""


def urls(hosts: tuple[PlannedHost, ...]) -> list[str]:
    return [host.url for host in hosts]


def in_directory(text: str, name: str = "reg.example:5000") -> dict[str, str]:
    return {f"{name}/hosts.toml": text}


class TestOrder:
    def test_inline_tables_are_random_before_2_0_and_ignored_since(self) -> None:
        text = (
            'server = "https://reg.example:5000"\n[host]\n'
            '"https://a.example" = {}\n"https://b.example" = {}\n'
        )
        old = resolve_plan(IMAGE, in_directory(text), release="1.7.34")
        new = resolve_plan(IMAGE, in_directory(text), release="2.0.0")
        assert old.unordered == 2
        assert urls(new.fetch) == ["https://reg.example:5000/v2"]
        assert [finding.reason for finding in new.findings] == [
            "host https://a.example is ignored: write it as a table header "
            "[host.'https://a.example']",
            "host https://b.example is ignored: write it as a table header "
            "[host.'https://b.example']",
        ]


class TestFiles:
    @pytest.mark.parametrize(
        ("text", "line", "reason"),
        [
            ('server = "https://m.example', 1, "invalid TOML"),
            ('[host."https://m.example"]\ncapabilities = ["pull", "resolv"]', 2, "resolv"),
            ('[host."https://m.example"]\ncapabilities = "pull"', 2, "list of strings"),
            ('[host."https://m.example"]\nskip_verify = "yes"', 2, "`skip_verify`"),
            ('[host."https://m.example"]\nca = 5', 2, "`ca`"),
            ('[host."https://m.example".header]\nx = 5', 1, "`header`"),
            ('host = "https://m.example"', 1, "`host`"),
            ('[host]\n"https://m.example" = 1', 2, "must be a table"),
            ('[host."https://m.example:port"]', 1, "invalid port"),
            ('server = "https://m.example"', None, "no [host] table"),
        ],
    )
    def test_an_invalid_file_is_ignored(self, text: str, line: int | None, reason: str) -> None:
        plan = resolve_plan(IMAGE, in_directory(text), release="1.6.20")
        (finding,) = plan.findings
        assert urls(plan.fetch) == ["https://reg.example:5000/v2"]
        assert finding.line == line
        assert reason in finding.reason

    def test_a_missing_certificate_fails_the_pull(self) -> None:
        text = '[host."https://m.example"]\nca = "nope.crt"\n'
        plan = resolve_plan(IMAGE, in_directory(text))
        assert plan.refusal is not None
        assert "nope.crt: no such file or directory" in plan.refusal.message
        assert plan.hosts == ()

    def test_a_key_in_host_that_is_not_a_table_crashes_containerd_1(self) -> None:
        text = '[host]\n"https://a.example" = 1\n"https://b.example" = 2\n'
        plan = resolve_plan(IMAGE, in_directory(text), release="1.7.24")
        assert plan.refusal is not None
        assert "panics" in plan.refusal.message
        assert resolve_plan(IMAGE, in_directory(text), release="2.1.9").refusal is None


class TestConfigToml:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (BOTH, "`mirrors` cannot be set when `config_path` is provided"),
            ('disabled_plugins = ["cri"]', "`disabled_plugins` names 'cri'"),
        ],
    )
    def test_contradictory_settings_stop_the_cri_plugin(self, text: str, reason: str) -> None:
        plan = resolve_plan(IMAGE, release="1.7.24", config_toml=text)
        assert plan.refusal is not None
        assert plan.refusal.message == "unknown service runtime.v1.ImageService"
        assert plan.refusal.finding is not None
        assert reason in plan.refusal.finding.reason

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("version = 3", "version 3 is not known to containerd 1.7.24"),
            ("version = ", "invalid TOML"),
            ("version = 2\n[plugins.cri]", 'invalid plugin key URI "cri"'),
            ('version = 2\ndisabled_plugins = ["cri"]', 'invalid disabled plugin URI "cri"'),
        ],
    )
    @pytest.mark.parametrize("puller", [Cri(), Ctr()])
    def test_an_invalid_configuration_stops_containerd(
        self, text: str, reason: str, puller: Puller
    ) -> None:
        plan = resolve_plan(IMAGE, release="1.7.24", config_toml=text, puller=puller)
        assert plan.refusal is not None
        assert "/run/containerd/containerd.sock" in plan.refusal.message
        assert plan.refusal.finding is not None
        assert f"containerd does not start: {reason}" in plan.refusal.finding.reason

    def test_both_well_known_directories_are_the_default_since_2_2(self) -> None:
        files = {"/etc/docker/certs.d/reg.example:5000/hosts.toml": '[host."https://m.example"]'}
        local = (
            'version = 3\n[plugins."io.containerd.cri.v1.images"]\nuse_local_image_pull = true\n'
        )

        def first(release: str) -> str:
            plan = resolve_plan(IMAGE, release=release, config_toml=local, files=files)
            return plan.fetch[0].name

        assert [first(release) for release in ("2.1.9", "2.2.0")] == [
            "reg.example:5000",
            "m.example",
        ]


class TestImages:
    @pytest.mark.parametrize(
        "image", ["", "Reg.example/UPPER:v1", "app:", f"app@{DIGEST[:20]}", "a" * 5000, "app:v1\n"]
    )
    def test_an_invalid_image_name_is_refused(self, image: str) -> None:
        plan = resolve_plan(image)
        assert plan.refusal is not None
        assert plan.refusal.message.startswith("failed to parse image reference")

    def test_ctr_requires_the_full_name(self) -> None:
        def refusal(image: str) -> str:
            plan: Plan = resolve_plan(image, puller=Ctr())
            return plan.refusal.message if plan.refusal else ""

        assert "hostname required" in refusal("/app:v1")
        assert "object required" in refusal("docker.io/library/nginx")
        assert refusal("docker.io/library/nginx:latest") == ""


SIMULATED = "reg.example/team/app:v1"
CERTS_D = {"reg.example/hosts.toml": '[host."http://mirror.example"]\n'}


def the_plan(release: str = "1.6.20", puller: Cri | None = None) -> Plan:
    return resolve_plan(SIMULATED, CERTS_D, release=release, puller=puller or Cri())


def requests(pull: ContainerdPull) -> list[str]:
    """``mirror HEAD 200`` for every request that a server received."""
    return [f"{a.host.split('.')[0]} {a.method} {a.status}" for a in pull.received]


class TestFallback:
    def test_a_truncated_body_is_continued_from_the_first_host(self) -> None:
        cut = HostBehaviour(
            rules=(
                HostRule(HostAction(truncate=100), obj="layer", times=1),
                HostRule(HostAction(status=404), obj="layer"),
            )
        )
        pull = simulate(the_plan(), {"mirror.example": cut})
        assert requests(pull)[-3:] == ["mirror GET None", "mirror GET 404", "reg GET 206"]
        assert pull.attempts[-2].because == "first host for the layer, continued at byte 100"


class TestCredentials:
    def test_the_repr_of_a_pull_shows_no_secret(self) -> None:
        token = HostBehaviour(
            challenge=HostChallenge("bearer", realm="http://tokens.example/token", service="s")
        )
        hidden = AuthConfig(username="user", password="s3cret-password")
        for mirror in (
            HostBehaviour(challenge=HostChallenge("basic", "user:s3cret-password")),
            token,
        ):
            pull = simulate(the_plan(puller=Cri(hidden)), {"mirror.example": mirror})
            assert any(attempt.credential.secret or attempt.form for attempt in pull.attempts)
            assert "s3cret-password" not in repr(pull)


class TestReleases:
    @pytest.mark.parametrize(
        ("asked", "behaves_like"),
        [
            ("1.6.20", "1.6.0"),
            ("1.6.20~ds1", "1.6.0"),
            ("v1.6.39", "1.6.32"),
            ("1.7.24", "1.7.24"),
            ("1.7", "1.7.32"),
            ("2.0.6", "2.0.0"),
            ("2.2.3", "2.2.2"),
            ("2.9.1", "2.3.3"),
        ],
    )
    def test_a_release_behaves_like_the_last_change_before_it(
        self, asked: str, behaves_like: str
    ) -> None:
        found = release_named(asked)
        (like,) = [release for release in RELEASES if release.version == behaves_like]
        assert found.version == asked.removeprefix("v")
        names = [f.name for f in fields(Release) if f.name != "version"]
        assert [getattr(found, n) for n in names] == [getattr(like, n) for n in names]

    @pytest.mark.parametrize("asked", ["1.5.18", "latest", "", "2", "1.6.x", "9" * 50])
    def test_an_invalid_release_is_refused(self, asked: str) -> None:
        with pytest.raises(UnknownRelease):
            release_named(asked)


class TestDialTimeout:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("1s", 1.0),
            ("1m30s", 90.0),
            ("1.5h", 5400.0),
            ("250ms", 0.25),
            ("0", 0.0),
            ("-1s", -1.0),
        ],
    )
    def test_durations_are_those_of_go(self, text: str, seconds: float) -> None:
        file = f'[host."https://m.example"]\ndial_timeout = "{text}"'
        entry = parse_hosts_toml(file, "/d", release_named("2.1.9")).entries[0]
        assert entry.dial_timeout == pytest.approx(seconds)

    @pytest.mark.parametrize("value", ['"abc"', '"1"', '"1s "', "5", f'"{"1s" * 99}"'])
    def test_an_invalid_duration_makes_the_file_invalid_since_2_0_7(self, value: str) -> None:
        file = f'[host."https://m.example"]\ndial_timeout = {value}'
        assert parse_hosts_toml(file, "/d", release_named("2.0.6")).entries[0].dial_timeout is None
        with pytest.raises(InvalidHostsFile):
            parse_hosts_toml(file, "/d", release_named("2.0.7"))


class TestArguments:
    def test_options_of_ctr(self) -> None:
        ctr = Ctr.from_arguments("pull", ["--user=u:p", "--plain-http", "--tlscacert", "/ca"])
        assert (ctr.login.user, ctr.login.secret) == ("u", "p")
        assert ctr.flags == {"plain-http": "true", "tlscacert": "/ca"}

    def test_a_refresh_token_has_no_user(self) -> None:
        ctr = Ctr.from_arguments("fetch", ["--refresh", "token"])
        assert (ctr.login.user, ctr.login.secret) == ("", "token")

    @pytest.mark.parametrize("arguments", [["--http-dump"], ["--user"], ["extra"]])
    def test_unknown_options_are_refused(self, arguments: list[str]) -> None:
        with pytest.raises(UnknownArgument):
            Ctr.from_arguments("pull", arguments)
