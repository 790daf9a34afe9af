"""Rules compared with the models, and cases besides the examples of fixtures/lint."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from harness.nodes.lint.engine import LintOptions
from harness.nodes.lint.finding import LintFinding
from harness.nodes.lint.parsing import parsed
from harness.nodes.lint.project import Project
from harness.nodes.models.containerd.hosts_toml import InvalidHostsFile, parse_hosts_toml
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.releases import release_named
from tests.unit.lint.cases import FIXTURES, findings, project_of

_MISSION = FIXTURES.parent / "mission"
_UP = "certs.d/up.example/hosts.toml"
_CONFIG = "etc/containerd/config.toml"
_SCHEDULE = "scheduler-state.json"
_ALL = LintOptions()
_RELEASES = ("1.6.20", "1.6.39", "1.7.0", "1.7.7", "1.7.24", "2.0.8", "2.1.9", "2.3.4")
_EXAMPLES = sorted(FIXTURES.glob("PPH*/*/certs.d/*/hosts.toml"))
_MIRROR = '[host."http://mirror.example:80"]\ncapabilities = ["pull", "resolve"]\n'


def said(root: Path, files: dict[str, str], options: LintOptions = _ALL) -> set[str]:
    """The rules that hit in *files*, written below *root*."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return {finding.rule for finding in findings(project_of(root), options)}


@pytest.mark.parametrize(
    ("rule", "hits", "files"),
    [
        ("PPC202", False, {"htpasswd": "  # puller:plain\n\n"}),
        ("PPC203", False, {"htpasswd": "  # none\n"}),
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


def hits(rule: str, text: str, release: str) -> list[LintFinding]:
    """What *rule* says of the hosts.toml *text*."""
    path = f"/etc/containerd/{_UP}"
    document = parsed(path, path, text.encode(), named=True)
    assert document is not None
    return findings(Project((document,)), LintOptions(containerd=(release,), select=(rule,)))


@pytest.mark.parametrize("release", _RELEASES)
@pytest.mark.parametrize("port", ["", ":80", ":080", ":443", ":5000"])
def test_https_first_where_the_model_asks_so(release: str, port: str) -> None:
    for setting in ("skip_verify = false", "skip_verify = true", "ca = []", "client = []"):
        text = f'[host."http://mirror.example{port}"]\n{setting}\n'
        plan = resolve_plan("up.example/app:1", {"up.example/hosts.toml": text}, release=release)
        (finding,) = hits("PPH020", text, release)
        assert ("https first" in finding.what) == (plan.resolve[0].scheme == "https"), setting


_CAPABILITIES: tuple[list[str] | None, ...] = (
    None,
    [],
    ["pull"],
    ["Resolve"],
    ["push"],
    ["PULL", "resolve"],
)


@pytest.mark.parametrize("server", ["", 'server = "https://up.example"\n'])
@pytest.mark.parametrize("of_file", _CAPABILITIES)
def test_no_host_resolves_where_the_model_finds_none(
    server: str, of_file: list[str] | None
) -> None:
    for first, second in product(_CAPABILITIES, repeat=2):
        text = server + "".join(
            header + ("" if names is None else f"capabilities = {json.dumps(names)}\n")
            for header, names in (
                ("", of_file),
                ('[host."https://m1"]\n', first),
                ('[host."https://m2"]\n', second),
            )
        )
        plan = resolve_plan("up.example/app:1", {"up.example/hosts.toml": text}, release="1.7.24")
        assert bool(hits("PPH035", text, "1.7.24")) == (not plan.resolve), text


_CRI = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry'
_IMAGES = 'version = 3\n[plugins."io.containerd.cri.v1.images".registry'
_CERTS_D = "/etc/containerd/certs.d"
_NO_MIRROR = {"PPT001", "PPT002", "PPT003", "PPT008", "PPT009", "PPT010", "PPT013"}


@pytest.mark.parametrize("release", [*_RELEASES, "2.2.0"])
@pytest.mark.parametrize("section", [_CRI, _IMAGES], ids=["version 2", "version 3"])
@pytest.mark.parametrize(
    "config_path",
    [None, _CERTS_D, f"{_CERTS_D}:/etc/docker/certs.d", f"{_CERTS_D}/up.example"],
)
@pytest.mark.parametrize(
    "more",
    [
        '.configs."m.example".auth]\nusername = "u"\npassword = "p"\n',
        '.configs."m.example".tls]\ninsecure_skip_verify = true\n',
        '.headers]\nX-Site = ["one"]\n',
    ],
    ids=["login", "tls", "headers"],
)
def test_a_finding_where_the_model_reads_no_mirror(
    more: str, config_path: str | None, section: str, release: str, tmp_path: Path
) -> None:
    """Where the model reads one, the only finding is that ``tls`` has no effect."""
    text = section + more
    if config_path is not None:
        key = f'config_path = "{config_path}"\n'
        text = f"{section}]\n{key}{section.partition(chr(10))[2]}{more}"
    hosts = 'server = "https://up.example"\n[host."https://m.example"]\ncapabilities = ["pull", '
    files = {"up.example/hosts.toml": f'{hosts}"resolve"]\n'}
    plan = resolve_plan("up.example/app:1", files, release=release, config_toml=text)
    is_read = any(host.name == "m.example" for host in plan.resolve)
    found = said(tmp_path, {_CONFIG: text}, LintOptions(containerd=(release,))) & _NO_MIRROR
    assert bool(found - {"PPT002"} if is_read else found) != is_read, found


@pytest.mark.parametrize("release", ["1.6.20", "1.7.24", "2.1.9", "2.3.4"])
@pytest.mark.parametrize("file", _EXAMPLES, ids=lambda p: "-".join(p.parts[-5:-3]))
def test_lint_says_error_where_the_model_ignores_the_file(
    file: Path, release: str, tmp_path: Path
) -> None:
    """Two readers of one format must agree."""
    text = file.read_text()
    try:
        parse_hosts_toml(text, "/d", release_named(release))
        ignored = False
    except InvalidHostsFile:
        ignored = True
    spoil = {"PPH001", "PPH003", "PPH004", "PPH005", "PPH008", "PPH010", "PPH011", "PPX003"}
    found = said(tmp_path, {_UP: text}, LintOptions(containerd=(release,)))
    assert bool(spoil & found) == ignored
