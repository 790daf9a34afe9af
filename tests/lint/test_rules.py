"""Rules: each row is a tree of files, and exactly what is said of it at the default severity."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.lint.engine import Question, findings
from harness.lint.finding import Finding
from harness.lint.project import Project
from harness.lint.reading import read_all
from harness.lint.rule import loaded_rules
from harness.mirrors.containerd.hosts_toml import InvalidHostsFile, parse_hosts_toml
from harness.mirrors.containerd.releases import release_named

_MISSION = Path(__file__).parents[2] / "fixtures" / "mission"
_CONFIG = """version: 0.1
storage:
  filesystem:
    rootdirectory: /data
  delete:
    enabled: true
http:
  addr: 127.0.0.1:5000
  draintimeout: 30s
proxy:
  remoteurl: https://up.example
"""
_HOSTS = """server = "https://up.example"

[host."https://mirror.example"]
  capabilities = ["pull", "resolve"]
"""
_CONTAINERD = """version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/etc/containerd/certs.d"
"""
_UP = "certs.d/up.example/hosts.toml"


def look(root: Path, files: dict[str, str], question: Question) -> list[Finding]:
    """What is said of *files*, written below *root*."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    tree = read_all([str(root)])
    return findings(Project(tuple(tree.documents), tuple(tree.roots), tree.names), question)


def config(old: str = "", new: str = "") -> dict[str, str]:
    assert old in _CONFIG
    return {"config.yml": _CONFIG.replace(old, new, 1) if old else _CONFIG + new}


def hosts(old: str = "", new: str = "") -> dict[str, str]:
    assert old in _HOSTS
    return {_UP: _HOSTS.replace(old, new, 1) if old else _HOSTS + new}


def login(host: str, body: str = 'username = "u"\npassword = "p"\n') -> dict[str, str]:
    section = f'[plugins."io.containerd.grpc.v1.cri".registry.configs."{host}".auth]\n'
    return {"config.toml": _CONTAINERD + section + body}


NEW = Question(registry=("3.1",), containerd=("2.3",))
OLD = Question(registry=("2.8",), containerd=("1.6",))
ROWS: list[tuple[str, int, Question, dict[str, str]]] = [
    ("PPC001", 1, NEW, config("version: 0.1", "version:0.1")),
    ("PPC002", 8, NEW, config("127.0.0.1:5000", "80")),
    ("PPC004", 12, NEW, config("", "  ttl: 10\n")),
    ("PPC005", 12, NEW, config("", "  ttl: 1d\n")),
    ("PPC006", 11, NEW, config("remoteurl", "remoteURL")),
    ("PPC008", 12, NEW, config("", "  tttl: 48h\n")),
    ("PPC010", 12, NEW, config("", "log: {accesslog: {disabled: 'true'}}\n")),
    ("PPC011", 1, NEW, config("0.1", "0.2")),
    ("PPC013", 11, NEW, config("https://up.example", "up.example")),
    ("PPC014", 11, NEW, config("https://up", "https://u:p@up")),
    ("PPC022", 12, NEW, config("", "  remoteurl: https://up.example\n")),
    ("PPC101", 10, NEW, config("  delete:\n    enabled: true\n", "  # nothing\n  # more\n")),
    ("PPC102", 5, NEW, config("  delete", "  cache: {blobdescriptor: inmemory}\n  delete")),
    ("PPC103", 7, NEW, config("  draintimeout: 30s\n", "")),
    ("PPC104", 12, NEW, config("", "  username: u\n  password: p\n")),
    ("PPC105", 11, NEW, config("up.example", "up.example/sub")),
    ("PPC117", 11, NEW, config("proxy", "  debug:\n    addr: 127.0.0.1:5000\nproxy")),
    ("PPC202", 1, NEW, {"htpasswd": "u:$apr1$aaaaaaaa$bbbbbbbbbbbbbbbbbbbbbb\n"}),
    ("PPC203", 1, NEW, {"htpasswd": "nobody\n"}),
    ("PPC204", 1, NEW, {"scheduler-state.json": ""}),
    ("PPC205", 1, NEW, {"scheduler-state.json": '{"a@sha256:b": {"Key": "other"}}'}),
    ("PPH001", 1, OLD, {_UP: 'server = "https://up.example"\n'}),
    ("PPH002", 4, NEW, {_UP: '# a\n\n[host]\n"https://m.example" = {capabilities=["pull"]}\n'}),
    ("PPH003", 4, NEW, hosts('"resolve"', '"resolv"')),
    ("PPH004", 4, OLD, hosts('"resolve"', '"resolve", "referrers"')),
    ("PPH005", 5, NEW, hosts("", '  override_path = "false"\n')),
    ("PPH006", 5, NEW, hosts("", "  skip_verfy = true\n")),
    ("PPH007", 5, OLD, hosts("", '  dial_timeout = "1s"\n')),
    ("PPH008", 5, NEW, hosts("", '  dial_timeout = "1 second"\n')),
    ("PPH010", 1, NEW, {_UP: "\ufeff" + _HOSTS}),
    ("PPH020", 5, NEW,
     {_UP: _HOSTS.replace("https://mirror", "http://mirror") + "  skip_verify = false\n"}),
    ("PPH021", 1, NEW, {"certs.d/docker.io/hosts.toml": _HOSTS.replace("up.example", "docker.io")}),
    ("PPH024", 4, NEW, hosts('"resolve"', '"resolve", "push"')),
    ("PPH026", 5, NEW, hosts("", "  skip_verify = true\n")),
    ("PPH027", 6, NEW, hosts("", '[host."https://mirror.example".header]\nAuthorization = "x"\n')),
    ("PPH028", 3, NEW, hosts("https://mirror.example", "https://mirror.example/sub")),
    ("PPH029", 5, NEW, hosts("", "  override_path = true\n")),
    ("PPH031", 5, NEW, hosts("", '  ca = "absent.crt"\n')),
    ("PPH033", 1, NEW, {"certs.d/_default/hosts.toml": _HOSTS}),
    ("PPH040", 1, NEW, {"certs.d/mirror/hosts.toml": _HOSTS.partition("\n\n")[2]}),
    ("PPH041", 1, NEW, {"certs.d/index.docker.io/hosts.toml": _HOSTS.partition("\n\n")[2]}),
    ("PPH042", 1, NEW, {"certs.d/mirror.example/hosts.toml": _HOSTS}),
    ("PPH045", 1, NEW, {"certs.d/r.example:5/hosts.toml": 'server="https://r.example:5"\n',
                        "certs.d/r.example_5_/hosts.toml": 'server="https://r.example:5"\n'}),
    ("PPH046", 1, NEW, hosts() | {"certs.d/up.example/x.crt": ""}),
    ("PPH047", 1, NEW, {"certs.d/up.example/host.toml": _HOSTS}),
    ("PPH048", 1, NEW, {"certs.d/up.example/x.cert": ""}),
    ("PPT003", 3, NEW, {"config.toml": _CONTAINERD.replace("certs.d", "certs.d:/etc/b")}),
    ("PPT004", 4, NEW, login("mirror")),
    ("PPT005", 4, NEW, login("up.example") | {"certs.d/up.example:5/hosts.toml": ""}),
    ("PPT006", 4, NEW, login("docker.io")),
    ("PPT007", 4, NEW, login("https://up.example")),
    ("PPT008", 2, OLD, {"config.toml": _CONTAINERD.replace("config_path", "headers.X")
                        .replace('"/etc/containerd/certs.d"', '["y"]')}),
    ("PPT009", 1, NEW, {"config.toml": _CONTAINERD.partition("\n")[2]}),
    ("PPT012", 3, NEW, {"config.toml": _CONTAINERD.replace("config_path", "config-path")}),
    ("PPT013", 3, NEW, {"config.toml": _CONTAINERD.replace("certs.d", "certs.d/docker.io")}),
    ("PPT014", 4, NEW, login("up.example", 'username = "u"\n')),
    ("PPX003", 1, NEW, {_UP: "server = \n"}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "line", "question", "files"), ROWS, ids=[row[0] for row in ROWS])
def test_a_mistake_is_named_once_and_at_its_line(
    rule: str, line: int, question: Question, files: dict[str, str], tmp_path: Path
) -> None:
    found = [f for f in look(tmp_path, files, question) if f.severity.rank < 2]
    assert [(f.rule, f.spot.line) for f in found] == [(rule, line)]


@pytest.mark.parametrize("question", [OLD, NEW, Question()], ids=["old", "new", "all"])
def test_good_files_have_no_findings(question: Question, tmp_path: Path) -> None:
    files = hosts() | config() | {"config.toml": _CONTAINERD}
    releases = {"PPC103"} if "3.1" not in question.registry else set()  # 2.8 always loses it
    found = [f for f in look(tmp_path, files, question) if f.severity.rank < 2]
    assert {f.rule for f in found} <= releases


def test_ids_are_one_of_a_kind_and_every_rule_says_all_there_is_to_say() -> None:
    rules = loaded_rules()
    assert len(rules) >= 60
    for rule in rules:
        assert all((rule.title, rule.why, rule.fix, rule.reference)), rule.id


@pytest.mark.parametrize("release", ["1.6.20", "1.7.24", "2.1.9", "2.3.4"])
@pytest.mark.parametrize(
    "row",
    [r for r in ROWS if r[0] == "PPX003" or (r[0].startswith("PPH") and _UP in r[3])],
    ids=lambda r: r[0],
)
def test_lint_says_error_where_the_model_ignores_the_file(
    row: tuple[str, int, Question, dict[str, str]], release: str, tmp_path: Path
) -> None:
    """Two readers of one format: what one takes, the other must not call ignored."""
    try:
        parse_hosts_toml(row[3][_UP], "/d", release_named(release))
        ignored = False
    except InvalidHostsFile:
        ignored = True
    found = look(tmp_path, row[3], Question(containerd=(release,)))
    spoil = {"PPH001", "PPH003", "PPH004", "PPH005", "PPH008", "PPH010", "PPH011", "PPX003"}
    assert bool(spoil & {f.rule for f in found}) == ignored


def test_the_mission_s_first_five_minutes() -> None:
    tree = read_all([str(_MISSION / "theory")])
    project = Project(tuple(tree.documents), tuple(tree.roots), tree.names)
    found = {f.rule for f in findings(project, Question())}
    assert {"PPC001", "PPC002", "PPC003", "PPC102", "PPC104", "PPH040", "PPT004"} <= found
