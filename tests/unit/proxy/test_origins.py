"""A prefix that means another upstream than before."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from reference_registry.config import ProxyConfig, UpstreamConfig
from reference_registry.proxy.upstream.routing import ORIGINS, note_origins, origins_kept
from reference_registry.storage import layout
from reference_registry.storage.filesystem import FilesystemDriver


@pytest.mark.parametrize(
    ("known", "content", "kept"),
    [
        ({}, False, {"p": "new"}),
        ({}, True, {"p": ""}),
        ({"p": "new"}, True, {"p": "new"}),
        ({"p": "old"}, True, {"p": "old"}),
        ({"p": "old"}, False, {"p": "new"}),
        ({"p": ""}, True, {"p": ""}),
        ({"q": "old"}, False, {"p": "new"}),
    ],
)
def test_what_is_kept(known: dict[str, str], content: bool, kept: dict[str, str]) -> None:
    assert origins_kept(known, {"p": "new"}, lambda prefix: content) == kept


def _config(**further: str) -> ProxyConfig:
    return ProxyConfig(
        remoteurl="https://one.example",
        upstreams={prefix: UpstreamConfig(remoteurl=url) for prefix, url in further.items()},
    )


def test_every_start_warns_until_it_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver = FilesystemDriver(tmp_path)

    def warned(**further: str) -> int:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            note_origins(driver, _config(**further))
        return len(caplog.records)

    assert warned(p="https://first.example") == 0
    driver.write(layout.repository("p/app") + "/_layers/x", b"")
    assert warned(p="https://first.example") == 0
    assert [warned(p="https://second.example") for _ in range(2)] == [1, 1]
    assert "p/ came from https://first.example, not from https://second" in caplog.text
    assert [warned() for _ in range(2)] == [1, 1]
    assert "p/ came from https://first.example, not from https://one" in caplog.text
    assert warned(p="https://first.example") == 0
    driver.delete(layout.repository("p"))
    assert [warned(p="https://second.example") for _ in range(2)] == [0, 0]

    driver.write(layout.repository("q/app") + "/_layers/x", b"")
    assert warned(q="https://q.example") == 1
    assert "an unknown upstream" in caplog.text
    assert json.loads(driver.read(ORIGINS)) == {"q": ""}
    driver.delete(layout.repository("q"))
    assert warned() == 0
    assert json.loads(driver.read(ORIGINS)) == {}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"p": 7}', b'{"../..": ""}', b"\xff"])
def test_a_damaged_file_is_rewritten(tmp_path: Path, content: bytes) -> None:
    driver = FilesystemDriver(tmp_path)
    driver.write(ORIGINS, content)
    note_origins(driver, _config(p="https://p.example"))
    assert json.loads(driver.read(ORIGINS)) == {"p": "https://p.example"}


def test_one_upstream_writes_nothing(tmp_path: Path) -> None:
    note_origins(FilesystemDriver(tmp_path), _config())
    assert list(tmp_path.iterdir()) == []
