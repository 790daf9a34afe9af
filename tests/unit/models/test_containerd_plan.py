"""How the plan of a pull is read from files: the rules, one by one."""

from __future__ import annotations

import pytest

from harness.nodes.models.containerd.plan import Plan, PlannedHost
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import Cri, Ctr, Puller

IMAGE = "reg.example:5000/team/app:v1"
DIGEST = "sha256:" + "a" * 64
TWO_MIRRORS = """\
server = "https://reg.example:5000"

[host."https://second.example"]
  capabilities = ["pull"]

[host."http://first.example:5001"]
"""

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
    def test_every_host_has_its_line(self) -> None:
        plan = resolve_plan(IMAGE, in_directory(TWO_MIRRORS))
        file = "/etc/containerd/certs.d/reg.example:5000/hosts.toml"
        assert [str(host.source) for host in plan.fetch] == [f"{file}:{n}" for n in (3, 6, 1)]
        assert [host.because for host in plan.fetch] == [
            "[host] entry for reg.example:5000",
            "[host] entry for reg.example:5000",
            "`server` of reg.example:5000, tried last",
        ]

    def test_inline_tables_are_random_before_2_0_and_ignored_since(self) -> None:
        text = (
            'server = "https://reg.example:5000"\n[host]\n'
            '"https://a.example" = {}\n"https://b.example" = {}\n'
        )
        old = resolve_plan(IMAGE, in_directory(text), release="1.7.34")
        new = resolve_plan(IMAGE, in_directory(text), release="2.0.0")
        assert old.unordered == 2
        assert urls(old.reordered((1, 0), (0, 1)).resolve) != urls(old.resolve)
        assert urls(new.fetch) == ["https://reg.example:5000/v2"]
        assert [finding.message for finding in new.findings] == [
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
        assert reason in finding.message

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
        assert reason in plan.refusal.finding.message

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
        assert f"containerd does not start: {reason}" in plan.refusal.finding.message

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
