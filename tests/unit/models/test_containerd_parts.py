"""The small parts of the containerd model: releases, challenges, certificates, credentials."""

from __future__ import annotations

from dataclasses import fields

import pytest

from harness.nodes.models.containerd.hosts_toml import InvalidHostsFile, parse_hosts_toml
from harness.nodes.models.containerd.pullers import (
    Ctr,
    UnknownArgument,
)
from harness.nodes.models.containerd.releases import (
    RELEASES,
    Release,
    UnknownRelease,
    release_named,
)


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
        assert (ctr.login.user, ctr.login.secret, ctr.plain_http, ctr.ca) == ("u", "p", True, "/ca")

    def test_a_refresh_token_has_no_user(self) -> None:
        ctr = Ctr.from_arguments("fetch", ["--refresh", "token"])
        assert (ctr.login.user, ctr.login.secret) == ("", "token")

    @pytest.mark.parametrize("arguments", [["--http-dump"], ["--user"], ["extra"]])
    def test_unknown_options_are_refused(self, arguments: list[str]) -> None:
        with pytest.raises(UnknownArgument):
            Ctr.from_arguments("pull", arguments)
