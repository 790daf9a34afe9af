"""registries.conf, short names, auth.json, and what skopeo does with them."""

from __future__ import annotations

import pytest

from harness.nodes.models.containers.registries_conf import (
    InvalidRegistriesConf,
    read_registries_conf,
)
from harness.nodes.models.containers.sources import (
    login_for,
    long_names,
    pull_sources,
    read_auth_file,
)
from harness.nodes.models.kubelet import InvalidSecret

IMAGE = "reg.example/team/app:v1"
MIRRORED = """\
[[registry]]
location = "reg.example"
[[registry.mirror]]
location = "digests.example"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "any.example/cache"
insecure = true
"""


class TestFiles:
    @pytest.mark.parametrize(
        ("text", "line", "reason"),
        [
            ("[[registry]\n", 1, "invalid TOML"),
            ("x = 1\n[[registry]]\n", 2, "both location and prefix are unset"),
            ('[[registry]]\nprefix = "a.example"', 1, "location is unset"),
            ('[[registry]]\nlocation = "https://a.example"', 1, "URI schemes are not supported"),
            ("[[registry]]\nlocation = 5", 1, "`location` must be a str"),
            ('[[registry]]\nlocation = "a"\npull-from-mirror = "all"', 1, "non-mirror registry"),
            ('[[registry]]\nlocation = "a"\n[[registry.mirror]]\n', 3, "mirror location is unset"),
            (
                '[[registry]]\nlocation = "a"\n'
                '[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "never"',
                3,
                'unsupported pull-from-mirror value "never"',
            ),
            (
                '[[registry]]\nlocation = "a"\n[[registry]]\nlocation = "a"\nblocked = true',
                3,
                "conflicting 'blocked' setting",
            ),
            ('registry = [{location = "a"}]\n[registries.search]\nregistries = ["a"]', 2, "mixing"),
            ("[registries.search]\nregistries = 5", 1, "must be a list of strings"),
            ('[registries.block]\nregistries = ["http://a"]', 1, "URI schemes are not supported"),
            ("registry = 1", None, "array of tables"),
            ("aliases = 1", 1, "`aliases`"),
            ("unqualified-search-registries = 5", 1, "list of strings"),
        ],
    )
    def test_an_invalid_file_names_its_line(self, text: str, line: int | None, reason: str) -> None:
        with pytest.raises(InvalidRegistriesConf) as caught:
            read_registries_conf(text)
        assert reason in caught.value.reason
        assert (caught.value.file, caught.value.line) == ("registries.conf", line)

    def test_version_1_is_read_unless_mixed_with_version_2(self) -> None:
        """Measured on skopeo 1.9.3."""
        config = read_registries_conf(
            '[registries.search]\nregistries = ["one.example"]\n'
            '[registries.insecure]\nregistries = ["a.example/", "b.example"]\n'
            '[registries.block]\nregistries = ["b.example"]\n'
        )
        assert config.unqualified_search == ("one.example",)
        found = {r.prefix: (r.insecure, r.blocked, r.line) for r in config.registries}
        assert found == {"b.example": (True, True, 1), "a.example": (True, False, 1)}
        with pytest.raises(InvalidRegistriesConf, match="must be in v2 format"):
            read_registries_conf("", {"a.conf": '[registries.block]\nregistries = ["a"]\n'})

    def test_a_drop_in_replaces_registries_with_the_same_prefix(self) -> None:
        config = read_registries_conf(
            'unqualified-search-registries = ["one.example"]\n' + MIRRORED,
            {
                "20-late.conf": '[[registry]]\nlocation = "reg.example"\nblocked = true\n',
                "10-early.conf": '[[registry]]\nlocation = "reg.example"\n[aliases]\na = "b/c"\n',
                "ignored.toml": "not = [toml",
            },
        )
        (registry,) = config.registries
        assert (registry.blocked, registry.file) == (True, "registries.conf.d/20-late.conf")
        assert config.unqualified_search == ("one.example",)
        assert config.aliases == {"a": "b/c"}

    def test_a_broken_drop_in_is_named(self) -> None:
        with pytest.raises(InvalidRegistriesConf) as caught:
            read_registries_conf("", {"a.conf": "x ="})
        assert (caught.value.file, caught.value.line) == ("registries.conf.d/a.conf", 1)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("reg.example/app", ("reg.example/app",)),
        ("localhost/app:v1", ("localhost/app:v1",)),
        ("fedora:40", ("registry.fedoraproject.org/fedora:40",)),
        ("team/app:v1", ("one.example/team/app:v1", "two.example/team/app:v1")),
    ],
)
def test_short_names_of_podman(name: str, found: tuple[str, ...]) -> None:
    config = read_registries_conf(
        'unqualified-search-registries = ["one.example", "two.example"]\n'
        '[aliases]\nfedora = "registry.fedoraproject.org/fedora"\n'
    )
    assert long_names(name, config) == found


class TestCredentials:
    AUTH = read_auth_file(
        '{"auths": {"reg.example": {"auth": "dTpw"}, "reg.example/team": {"auth": "dDpw"},'
        ' "https://index.docker.io/v1/": {"auth": "aDpw"}}}'
    )

    @pytest.mark.parametrize(
        ("image", "user"),
        [
            ("reg.example/team/app", "t"),
            ("reg.example/teammate/app", "u"),
            ("reg.example:5000/app", ""),
            ("nginx", "h"),
        ],
    )
    def test_the_longest_path_wins(self, image: str, user: str) -> None:
        (source,) = pull_sources(image, read_registries_conf(""))
        assert login_for(self.AUTH, source).user == user

    def test_an_invalid_file_is_reported(self) -> None:
        with pytest.raises(InvalidSecret, match="not JSON"):
            read_auth_file("{")
