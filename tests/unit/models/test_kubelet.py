"""kubelet's choice of credentials.

``--kubelet-cases FILE`` runs another file of the same format.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from harness.nodes.models.kubelet import (
    InvalidSecret,
    KeyringEntry,
    matching_entries,
    read_docker_config,
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "keyring_case" in metafunc.fixturenames:
        file: Path = metafunc.config.getoption("kubelet_cases")
        cases = json.loads(file.read_text())["cases"]
        metafunc.parametrize(
            "keyring_case",
            [pytest.param(c, id=f"{n}-{'+'.join(c['secret_keys'])}") for n, c in enumerate(cases)],
        )


def test_keys_are_tried_in_the_order_of_kubelet(keyring_case: dict[str, Any]) -> None:
    entries = [KeyringEntry(key) for key in keyring_case["secret_keys"]]
    found = matching_entries(entries, keyring_case["repository_after_normalisation"])
    assert [entry.key for entry in found] == keyring_case["tried_in_this_order"]


def secret(*keys: str, user: str = "u") -> str:
    auth = base64.b64encode(f"{user}:p".encode()).decode()
    return json.dumps({"auths": {key: {"auth": auth} for key in keys}})


class TestSecrets:
    def test_auth_overrides_username_and_password(self) -> None:
        text = json.dumps(
            {"auths": {"reg.example": {"username": "x", "password": "y", "auth": "dTpw"}}}
        )
        (entry,) = read_docker_config(text, "s")
        assert (entry.username, entry.password, entry.secret) == ("u", "p", "s")

    def test_the_older_format_has_no_auths(self) -> None:
        (entry,) = read_docker_config('{"reg.example": {"auth": "dTpw"}}')
        assert (entry.key, entry.username) == ("reg.example", "u")

    @pytest.mark.parametrize("auth", ["dTpw", "dTpwcA", "dTpwcA=="])
    def test_padding_may_be_missing(self, auth: str) -> None:
        (entry,) = read_docker_config(json.dumps({"auths": {"r": {"auth": auth}}}))
        assert entry.username == "u"

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "not JSON"),
            ("[" * 100_000, "not JSON"),
            ("[]", "must be a JSON object"),
            ('{"auths": []}', "`auths` must be an object"),
            ('{"auths": {"r": "u:p"}}', "entry of 'r' must be an object"),
            ('{"auths": {"r": {"auth": 5}}}', "`auth` of 'r' must be a string"),
            ('{"auths": {"r": {"auth": "%"}}}', "not base64"),
            ('{"auths": {"r": {"auth": "dXA="}}}', "username:password"),
            (" " * (1 << 20) + " {}", "larger than 1 MiB"),
        ],
    )
    def test_an_invalid_file_is_reported(self, text: str, reason: str) -> None:
        with pytest.raises(InvalidSecret, match=reason):
            read_docker_config(text)

    def test_the_repr_of_an_entry_shows_no_password(self) -> None:
        assert "s3cret" not in repr(KeyringEntry("reg.example", "u", "s3cret"))
