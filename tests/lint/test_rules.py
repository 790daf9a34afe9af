"""Rules against what else knows the same, and cases beside the examples of fixtures/lint."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.lint.engine import Question, findings
from harness.lint.rule import loaded_rules
from harness.mirrors.containerd.hosts_toml import InvalidHostsFile, parse_hosts_toml
from harness.mirrors.containerd.releases import release_named
from tests.lint.cases import FIXTURES, project_of

_MISSION = FIXTURES.parent / "mission"
_UP = "certs.d/up.example/hosts.toml"
_CONFIG = "etc/containerd/config.toml"
_SCHEDULE = "scheduler-state.json"
_ALL = Question()
_EXAMPLES = sorted(FIXTURES.glob("PPH*/*/certs.d/*/hosts.toml"))
_MIRROR = '[host."http://mirror.example:80"]\ncapabilities = ["pull", "resolve"]\n'


def said(root: Path, files: dict[str, str], question: Question = _ALL) -> set[str]:
    """The rules that hit in *files*, written below *root*."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return {finding.rule for finding in findings(project_of(root), question)}


@pytest.mark.parametrize(
    ("rule", "hits", "files"),
    [
        ("PPC202", False, {"htpasswd": "  # puller:plain\n\n"}),
        ("PPC203", False, {"htpasswd": "  # nobody\n"}),
        ("PPC204", True, {_SCHEDULE: "null"}),
        ("PPC204", True, {_SCHEDULE: '{"a@sha256:b": null}'}),
        ("PPC204", True, {_SCHEDULE: '{"a@sha256:b": {"ExpiryData": "tomorrow"}}'}),
        ("PPC204", True, {_SCHEDULE: '{"a@sha256:b": {"EntryType": "1"}}'}),
        ("PPC204", False, {_SCHEDULE: "{}"}),
        ("PPH020", True, {_UP: f"{_MIRROR}ca = []\n"}),
        ("PPH021", False, {_UP: 'server = "https://index.docker.io"\n[host]\n'}),
        ("PPH024", True, {_UP: _MIRROR.replace('"resolve"', '"Push"')}),
        ("PPH025", False, {_UP: _MIRROR.replace('"resolve"', '"Resolve"')}),
        ("PPH040", False, {"certs.d/Mirror/hosts.toml": _MIRROR}),
        ("PPT008", True, {_CONFIG: "version = 2\n", _UP: _MIRROR}),
        ("PPT008", False, {_CONFIG: "version = 2\n"}),
        ("PPT008", False, {_CONFIG: 'version = 2\nimports = ["/etc/x.toml"]\n', _UP: _MIRROR}),
        ("PPT009", True, {_CONFIG: 'version = 2\n[plugins.cri.registry]\nconfig_path = "/x"\n'}),
    ],
)
def test_beside_the_examples(rule: str, hits: bool, files: dict[str, str], tmp_path: Path) -> None:
    assert (rule in said(tmp_path, files)) == hits


@pytest.mark.parametrize(
    ("release", "port", "first"),
    [
        ("1.6.20", ":5000", False),
        ("1.6.39", ":5000", True),
        ("1.6.39", "", False),
        ("1.7.24", "", True),
        ("2.3.4", ":80", False),
    ],
)
def test_https_first(release: str, port: str, first: bool, tmp_path: Path) -> None:
    (tmp_path / "hosts.toml").write_text(
        f'[host."http://mirror.example{port}"]\ncapabilities = ["pull"]\nskip_verify = true\n'
    )
    found = findings(project_of(tmp_path), Question(containerd=(release,), select=("PPH020",)))
    assert ["try https first" in finding.what for finding in found] == [first]


def test_ids_are_one_of_a_kind_and_every_rule_says_all_there_is_to_say() -> None:
    rules = loaded_rules()
    assert len(rules) >= 60
    for rule in rules:
        assert all((rule.title, rule.why, rule.fix, rule.reference)), rule.id


@pytest.mark.parametrize("release", ["1.6.20", "1.7.24", "2.1.9", "2.3.4"])
@pytest.mark.parametrize("file", _EXAMPLES, ids=lambda p: "-".join(p.parts[-5:-3]))
def test_lint_says_error_where_the_model_ignores_the_file(
    file: Path, release: str, tmp_path: Path
) -> None:
    """Two readers of one format: what one takes, the other must not call ignored."""
    text = file.read_text()
    try:
        parse_hosts_toml(text, "/d", release_named(release))
        ignored = False
    except InvalidHostsFile:
        ignored = True
    spoil = {"PPH001", "PPH003", "PPH004", "PPH005", "PPH008", "PPH010", "PPH011", "PPX003"}
    found = said(tmp_path, {_UP: text}, Question(containerd=(release,)))
    assert bool(spoil & found) == ignored


def test_the_mission_s_first_five_minutes() -> None:
    found = {finding.rule for finding in findings(project_of(_MISSION / "theory"), Question())}
    assert {"PPC001", "PPC002", "PPC003", "PPC102", "PPC104", "PPH040", "PPT004"} <= found
