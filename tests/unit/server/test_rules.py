"""Each review rule, with a case that it reports and one that it does not."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reference_registry.config import rules
from reference_registry.config.file import read
from reference_registry.config.rules import Reviewed, review
from reference_registry.profiles import PROFILES

_DEFAULTS = {
    "storage": "storage: {filesystem: {rootdirectory: /data}}",
    "http": "http: {addr: 127.0.0.1:0}",
}


def _cases() -> Iterator[tuple[str, str, str, str]]:
    """Rule, profile, key (``-`` for none) and lines of each case in ``rule_cases.txt``."""
    for block in Path(__file__).with_name("rule_cases.txt").read_text().split("\n## ")[1:]:
        rule, *cases = block.split("\n> ")
        for case in cases:
            head, _, lines = case.partition("\n")
            profile, key = head.split()
            yield rule, profile, key, lines.strip()


_CASES = list(_cases())


def _reviewed(tmp_path: Path, profile: str, lines: str) -> Reviewed:
    sections = {line.partition(":")[0] for line in lines.splitlines()}
    missing = [line for section, line in _DEFAULTS.items() if section not in sections]
    path = tmp_path / "config.yml"
    path.write_text("\n".join(["version: 0.1", *missing, lines]))
    found = read(path, {}, PROFILES[profile])
    assert found.config is not None, found.errors
    return Reviewed(found.config, PROFILES[profile], found.source, found.places)


@pytest.mark.parametrize(("rule", "profile", "key", "lines"), _CASES)
def test_rule(rule: str, profile: str, key: str, lines: str, tmp_path: Path) -> None:
    found = {p.rule: p.key for p in review(_reviewed(tmp_path, profile, lines))}
    assert found.get(rule, "-") == key


def test_each_rule_is_tested_both_ways() -> None:
    names = set(re.findall(r'yield \(?\s*"([a-z-]+)"', inspect.getsource(rules)))
    assert {rule for rule, _, key, _ in _CASES if key != "-"} == names
    assert {rule for rule, _, key, _ in _CASES if key == "-"} == names


def test_a_good_cache_configuration_has_no_warnings(tmp_path: Path) -> None:
    lines = (
        "proxy: {remoteurl: 'https://h', username: u, password: p}\n"
        "auth: {htpasswd: {realm: r, path: /p}}\n"
        "http: {addr: ':443', tls: {certificate: /c, key: /k}, debug: {addr: 'localhost:5001'}}"
    )
    assert list(review(_reviewed(tmp_path, "ideal", lines))) == []


def test_place_of_a_missing_key(tmp_path: Path) -> None:
    """The line of its section, or else the file."""
    given = _reviewed(tmp_path, "3.1", "proxy: {remoteurl: 'https://h'}")
    path = tmp_path / "config.yml"
    assert str(given.place_of("http.draintimeout")) == f"{path}:3"
    assert str(given.place_of("proxy.username")) == f"{path}:4"
    assert str(given.place_of("auth")) == str(path)
