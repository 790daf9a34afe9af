"""The small parts of the containerd model: releases, challenges, certificates, credentials."""

from __future__ import annotations

import base64
import itertools
from dataclasses import fields

import pytest

from harness.nodes.models.behaviours import HostBehaviour, behaviour_from
from harness.nodes.models.containerd.hosts_toml import InvalidHostsFile, parse_hosts_toml
from harness.nodes.models.containerd.pullers import (
    AuthConfig,
    CredentialError,
    Ctr,
    UnknownArgument,
)
from harness.nodes.models.containerd.releases import (
    RELEASES,
    Release,
    UnknownRelease,
    release_named,
)
from harness.nodes.models.containerd.trust import certificates, key_pair_problem
from harness.nodes.models.registry_api import parse_challenges


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
    def test_what_is_no_release_is_refused(self, asked: str) -> None:
        with pytest.raises(UnknownRelease):
            release_named(asked)

    def test_every_listed_release_changes_something(self) -> None:
        names = [f.name for f in fields(Release) if f.name != "version"]
        tables = [tuple(getattr(release, name) for name in names) for release in RELEASES]
        assert all(one != other for one, other in itertools.pairwise(tables))


class TestChallenges:
    def test_bearer_comes_before_basic(self) -> None:
        lines = ('Basic realm="x"', 'Bearer realm="https://t.example/token",service="s"')
        first, second = parse_challenges(lines)
        assert (first.scheme, second.scheme) == ("bearer", "basic")
        assert first.parameters == {"realm": "https://t.example/token", "service": "s"}

    def test_of_one_line_only_the_first_challenge_is_seen(self) -> None:
        (only,) = parse_challenges(['Basic realm="x", Bearer realm="y"'])
        assert (only.scheme, only.parameters) == ("basic", {"realm": "x"})

    @pytest.mark.parametrize("line", ["", "Negotiate", "=", '"Basic"', "Basicrealm"])
    def test_what_is_unknown_is_passed_over(self, line: str) -> None:
        assert parse_challenges([line]) == []

    def test_quoted_values_are_unescaped(self) -> None:
        (only,) = parse_challenges([r'Basic realm="a \"b\" \\", x=y , =z'])
        assert only.parameters == {"realm": r'a "b" \ '.strip(), "x": "y"}


class TestCertificates:
    CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    KEY = "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n"

    @pytest.mark.parametrize(
        ("text", "count"),
        [
            (CERTIFICATE, 1),
            (f"a comment\n{CERTIFICATE}{KEY}", 1),
            (KEY, 0),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", 0),
            ("-----BEGIN CERTIFICATE-----\nQUFB\n-----END CERTIFICATE-----", 0),
            ("", 0),
        ],
    )
    def test_what_counts_as_a_certificate(self, text: str, count: int) -> None:
        assert len(certificates(text)) == count

    @pytest.mark.parametrize(
        ("certificate", "key", "problem"),
        [
            (CERTIFICATE, KEY, None),
            (CERTIFICATE + KEY, CERTIFICATE + KEY, None),
            (CERTIFICATE, CERTIFICATE, "found a certificate rather than a key"),
            (KEY, KEY, "PEM inputs may have been switched"),
            ("", KEY, "find any PEM data in certificate input"),
            (CERTIFICATE, "", "find any PEM data in key input"),
            (CERTIFICATE, CERTIFICATE * 2, "following types: [CERTIFICATE CERTIFICATE]"),
        ],
    )
    def test_what_makes_a_pair(self, certificate: str, key: str, problem: str | None) -> None:
        found = key_pair_problem(certificate, key)
        assert (found is None) if problem is None else (found is not None and problem in found)


class TestAuthConfig:
    @pytest.mark.parametrize(
        ("auth", "user", "secret"),
        [
            (AuthConfig(username="u", password="p", identity_token="t"), "u", "p"),
            (AuthConfig(identity_token="t", auth="dTpw"), "", "t"),
            (AuthConfig(auth=base64.b64encode(b"u:p:q").decode()), "u", "p:q"),
            (AuthConfig(registry_token="t"), "", ""),
            (AuthConfig(username="u", password="p", server_address="https://m.example"), "u", "p"),
            (AuthConfig(username="u", password="p", server_address="https://M.example"), "", ""),
            (AuthConfig(username="u", password="p", server_address="m.example"), "", ""),
            (
                AuthConfig(username="u", password="p", server_address="https://m.example:443"),
                "",
                "",
            ),
        ],
    )
    def test_which_field_counts(self, auth: AuthConfig, user: str, secret: str) -> None:
        login = auth.login_for("m.example", "a test")
        assert (login.user, login.secret) == (user, secret)

    @pytest.mark.parametrize(
        "auth",
        [
            AuthConfig(auth="%%%"),
            AuthConfig(auth=base64.b64encode(b"no colon").decode()),
            AuthConfig(username="u", server_address="127.0.0.1:5000"),
        ],
    )
    def test_what_cannot_be_read_fails_the_host(self, auth: AuthConfig) -> None:
        with pytest.raises(CredentialError):
            auth.login_for("m.example", "a test")


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
    def test_durations_are_go_s(self, text: str, seconds: float) -> None:
        file = f'[host."https://m.example"]\ndial_timeout = "{text}"'
        entry = parse_hosts_toml(file, "/d", release_named("2.1.9")).entries[0]
        assert entry.dial_timeout == pytest.approx(seconds)

    @pytest.mark.parametrize("value", ['"abc"', '"1"', '"1s "', "5", f'"{"1s" * 99}"'])
    def test_anything_else_spoils_the_file_since_2_0_7(self, value: str) -> None:
        file = f'[host."https://m.example"]\ndial_timeout = {value}'
        assert parse_hosts_toml(file, "/d", release_named("2.0.6")).entries[0].dial_timeout is None
        with pytest.raises(InvalidHostsFile):
            parse_hosts_toml(file, "/d", release_named("2.0.7"))


class TestArguments:
    def test_options_are_read_as_typed(self) -> None:
        ctr = Ctr.from_arguments("pull", ["--user=u:p", "--plain-http", "--tlscacert", "/ca"])
        assert (ctr.login.user, ctr.login.secret, ctr.plain_http, ctr.ca) == ("u", "p", True, "/ca")

    def test_a_refresh_token_has_no_user(self) -> None:
        ctr = Ctr.from_arguments("fetch", ["--refresh", "token"])
        assert (ctr.login.user, ctr.login.secret) == ("", "token")

    @pytest.mark.parametrize("arguments", [["--http-dump"], ["--user"], ["extra"]])
    def test_what_is_not_modelled_is_refused(self, arguments: list[str]) -> None:
        with pytest.raises(UnknownArgument):
            Ctr.from_arguments("pull", arguments)


class TestBehaviours:
    def test_nothing_said_is_a_healthy_host(self) -> None:
        assert behaviour_from({}, {}) == HostBehaviour()

    @pytest.mark.parametrize(
        "document", [{"typo": 1}, {"rules": [{"do": {"statsu": 1}}]}, {"auth": {"kind": "basic"}}]
    )
    def test_what_is_not_understood_is_an_error(self, document: dict[str, object]) -> None:
        with pytest.raises(ValueError, match="has no"):
            behaviour_from(document, {})
