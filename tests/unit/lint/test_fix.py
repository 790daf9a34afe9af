"""``--fix``: the content of a file before and after, byte for byte."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.nodes.lint.documents import Document
from harness.nodes.lint.engine import LintOptions
from harness.nodes.lint.finding import Edit, KeyEdit
from harness.nodes.lint.fix.editing import replacements
from harness.nodes.lint.fix.repair import Repaired, repaired
from harness.nodes.lint.fix.tree_edits import NotApplicable, applied
from harness.nodes.lint.parsing import parsed
from harness.nodes.lint.project import Project
from harness.nodes.lint.reading import read_all
from tests.unit.lint.cases import project_of

_NEW = LintOptions(registry=("3.1",), containerd=("2.1",))
_CRI = '[plugins."io.containerd.grpc.v1.cri".registry'


def document(name: str, text: str) -> Document:
    """*text* as lint reads it from a file of that name."""
    found = parsed(name, f"/d/{name}", text.encode(), named=True)
    assert found is not None
    return found


def edited(name: str, text: str, *edits: Edit) -> str:
    return applied(text, replacements(document(name, text), edits))


def fixed(name: str, text: str, options: LintOptions = _NEW) -> Repaired:
    return repaired(Project((document(name, text),)), options)


FILES: list[tuple[str, str, str]] = [
    # TOML
    ("hosts.toml", 'server = "https://docker.io"   # hub\n',
     'server = "https://registry-1.docker.io"   # hub\n'),
    ("hosts.toml", "server = 'https://docker.io'\r\n[host]\r\n",
     "server = 'https://registry-1.docker.io'\r\n[host]\r\n"),
    ("hosts.toml", '[host."https://m"]\ncapabilities = [ "pull", # why\n  "resolv", ] # end',
     '[host."https://m"]\ncapabilities = [ "pull", # why\n  "resolve", ] # end'),
    ("hosts.toml", '[host."https://m"]\ncapabilities = [\n  "pull",\n  "push", # no\n]\n',
     '[host."https://m"]\ncapabilities = [\n  "pull",\n  # no\n]\n'),
    ("hosts.toml", '[host."https://m"]\n  capabilities = ["pull", "resolve", "push"]\n',
     '[host."https://m"]\n  capabilities = ["pull", "resolve"]\n'),
    ("hosts.toml", '[host."https://m"]  # first\n',
     '[host."https://m"]  # first\ncapabilities = ["pull", "resolve"]\n'),
    ("hosts.toml", '[host."http://m"]\n  skip_verify = true # why\n  capabilities = ["pull"]',
     '[host."http://m"]\n  # why\n  capabilities = ["pull"]'),
    ("hosts.toml", '[host."http://m"]\n  capabilities = ["pull"]\n  skip_verify = true',
     '[host."http://m"]\n  capabilities = ["pull"]'),
    ("hosts.toml", '# a\n\n[host]\n"https://m" = { capabilities = ["pull"], ca = "x" } # b\n',
     '# a\n\n[host]\n[host."https://m"]\ncapabilities = ["pull"]\nca = "x" # b\n'),
    ("hosts.toml", '[host]\n"https://m".capabilities = ["pull"]\n"https://m".ca = "x"\n',
     '[host]\n[host."https://m"]\ncapabilities = ["pull"]\nca = "x"\n'),
    ("hosts.toml", 'server = "https://u"\nhost = {"https://m"={ca="x", client="y"}}\n',
     'server = "https://u"\n[host."https://m"]\nca="x"\nclient="y"\ncapabilities = '
     '["pull", "resolve"]\n'),
    ("hosts.toml", '\ufeffserver = "https://u"\n', 'server = "https://u"\n'),
    ("hosts.toml", '[host."https://m"]\ncapabilities = ["pull"]\ndial_timeout = 3\n',
     '[host."https://m"]\ncapabilities = ["pull"]\ndial_timeout = "3s"\n'),
    ("config.toml", f"# ours\n{_CRI}]\n  config_path = '/etc/containerd/certs.d'\n",
     f"# ours\nversion = 2\n\n{_CRI}]\n  config_path = '/etc/containerd/certs.d'\n"),
    ("config.toml", f'version = 2\n{_CRI}.configs."docker.io".auth] # a\nauth = "x"\n'
     f"{_CRI}.configs.'docker.io'.tls]\n",
     f'version = 2\n{_CRI}.configs."registry-1.docker.io".auth] # a\nauth = "x"\n'
     f"{_CRI}.configs.'registry-1.docker.io'.tls]\n"),
    # YAML
    ("config.yml", "version:0.1 # v\nstorage: {filesystem: {}}\n",
     "version: 0.1 # v\nstorage: {filesystem: {}}\n"),
    ("config.yml", "version: 0.1\r\nstorage:\r\n    filesystem: # fs\r\nproxy:\r\n"
     "    remoteURL: https://u # up\r\n    ttl: 10\r\n",
     "version: 0.1\r\nstorage:\r\n    filesystem: # fs\r\n    delete:\r\n        enabled: true\r\n"
     "proxy:\r\n    remoteurl: https://u # up\r\n    ttl: 10s\r\nhttp:\r\n"
     "    draintimeout: 30s\r\n"),
    ("config.yml", "version: 0.1\nstorage: {filesystem: {}, delete: {enabled: 'true'}}\n",
     "version: 0.1\nstorage: {filesystem: {}, delete: {enabled: true}}\n"),
    ("config.yml", "version: 0.1\nstorage: filesystem\nhttp:\n  addr: '80'\n",
     "version: 0.1\nstorage: filesystem\nhttp:\n  addr: ':80'\n"),
    ("config.yml", "version: 0.1\nstorage:\n  cache: {blobdescriptor: redis}\n  inmemory:\n"
     "redis:\n  addr: r:6379 # r\n",
     "version: 0.1\nstorage:\n  cache: {blobdescriptor: redis}\n  inmemory:\n"
     "redis:\n  addrs: [\"r:6379\"] # r\n"),
    ("config.yml", "loglevel: warn # less\nversion: 0.1\nstorage:\n  inmemory:\n",
     "# less\nversion: 0.1\nstorage:\n  inmemory:\nlog:\n  level: warn\n"),
    # A mistake of the syntax, after which others show
    ("pod.yaml", "apiVersion: v1\nkind:Pod\nmetadata: {}\n",
     "apiVersion: v1\nkind: Pod\nmetadata: {}\n"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after"), FILES)
def test_only_the_mistake_changes(name: str, before: str, after: str) -> None:
    result = fixed(name, before)
    assert [repair.after.text for repair in result.repairs] == [after]
    assert not fixed(name, after).repairs


EDITS: list[tuple[str, str, Edit, str]] = [
    ("pod.json", '{"apiVersion": "v1", "registry-mirror": ["x"], "a": 1}',
     KeyEdit("rename", ("registry-mirror",), "b"),
     '{"apiVersion": "v1", "b": ["x"], "a": 1}'),
    ("pod.json", '{"apiVersion": "v1",\n\t"a": [1, 2 ],\n\t"b": {}\n}',
     KeyEdit("add", ("c", "d"), True),
     '{"apiVersion": "v1",\n\t"a": [1, 2 ],\n\t"b": {},\n\t"c": {"d": true}\n}'),
    ("pod.json", '{"apiVersion": "v1",\n  "a": 1,\n  "b": 2\n}\n', KeyEdit("remove", ("b",)),
     '{"apiVersion": "v1",\n  "a": 1\n}\n'),
    ("pod.json", '{"apiVersion": "v1",\n  "a": 1,\n  "b": 2\n}\n', KeyEdit("remove", ("a",)),
     '{"apiVersion": "v1",\n  "b": 2\n}\n'),
    ("pod.json", '{"apiVersion": "v1", "a": {"b": "\\u00e9"}}', KeyEdit("set", ("a", "b"), "ü"),
     '{"apiVersion": "v1", "a": {"b": "ü"}}'),
    ("pod.json", '{"apiVersion": "v1", "a": {}}', KeyEdit("add", ("a", "b"), ("x",)),
     '{"apiVersion": "v1", "a": {"b": ["x"]}}'),
    ("pod.yaml", "apiVersion: v1\n---\napiVersion: v1\nspec:\n- name: a # c\n  b: 1\n",
     KeyEdit("set", (1, "spec", 0, "b"), "x"),
     "apiVersion: v1\n---\napiVersion: v1\nspec:\n- name: a # c\n  b: x\n"),
    ("pod.yaml", "apiVersion: v1\nspec:\n- name: a\n  b: 1\n",
     KeyEdit("remove", (0, "spec", 0, "name")),
     "apiVersion: v1\nspec:\n- b: 1\n"),
    ("pod.yaml", "apiVersion: v1\nspec:\n- name: a\n  b: |\n    x\n    y\n\n# end\n",
     KeyEdit("add", (0, "spec", 0, "c"), "d e"),
     'apiVersion: v1\nspec:\n- name: a\n  b: |\n    x\n    y\n  c: "d e"\n\n# end\n'),
    ("pod.yaml", "apiVersion: v1\na:\n  b:\n    c: 1 # c\nd: 1",
     KeyEdit("remove", (0, "a", "b", "c")),
     "apiVersion: v1\n    # c\nd: 1"),
    ("pod.yaml", "apiVersion: v1\na: 1\nd:\n  e: 1",
     KeyEdit("remove", (0, "d")), "apiVersion: v1\na: 1"),
    ("config.toml", "version = 2", KeyEdit("add", ("a", "b.c"), None), 'version = 2\n\n[a."b.c"]'),
    ("config.toml", "[a]\n  b = {c.d = 1}\n", KeyEdit("rename", ("a", "b", "c"), "x y"),
     '[a]\n  b = {"x y".d = 1}\n'),
    ("config.toml", "[a]\nb = { }\n", KeyEdit("add", ("a", "b", "c"), 1), "[a]\nb = {c = 1 }\n"),
    ("config.toml", "[[a]]\n[b]\n", KeyEdit("add", ("version",), 2), "version = 2\n\n[[a]]\n[b]\n"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "edit", "after"), EDITS)
def test_an_edit_of_each_format(name: str, before: str, edit: Edit, after: str) -> None:
    assert edited(name, before, edit) == after


@pytest.mark.parametrize(
    ("name", "text", "edit", "reason"),
    [
        ("pod.yaml", "apiVersion: v1\na: &x {b: 1}\nc: *x\n",
         KeyEdit("set", (0, "a", "b"), "2"), "else"),
        ("pod.yaml", "apiVersion: v1\na: &x 1\nc: *x\n", KeyEdit("set", (0, "c"), "2"), "alias"),
        ("pod.yaml", "apiVersion: v1\na: &x 1\nc: *x\n", KeyEdit("set", (0, "a"), "2"), "be read"),
        ("pod.yaml", "apiVersion: v1\nb: &x {d: 1}\nc:\n  <<: *x\n",
         KeyEdit("set", (0, "c", "d"), 2),
         "not written"),
        ("pod.yaml", "apiVersion: v1\na: 1\n", KeyEdit("add", (0, "a"), 2), "already"),
        ("pod.yaml", "apiVersion: v1\na: 1\n", KeyEdit("add", (0, "a", "b"), 2), "not a mapping"),
        ("config.toml", "[a]\nb = 1\nc = 2\n", KeyEdit("rename", ("a", "b"), "c"), "already"),
        ("config.toml", "[a.b]\nc = 2\n", KeyEdit("headers", ("a",)), "nothing below"),
        ("hosts.toml", 'host."m".ca = "x"\nserver = "y"\n',
         KeyEdit("headers", ("host",)), "its meaning"),
        ("htpasswd", "u:p\n", KeyEdit("set", ("u",), "x"), "not written"),
    ],
)  # fmt: skip
def test_edits_with_side_effects_are_rejected(
    name: str, text: str, edit: Edit, reason: str
) -> None:
    with pytest.raises(NotApplicable, match=reason):
        edited(name, text, edit)


def test_right_for_one_release_and_wrong_for_another() -> None:
    text = "version: 0.1\nstorage: {inmemory: {}, cache: {blobdescriptor: redis}}\n"
    text += "redis: {addr: 'r:1'}\n"
    asked = fixed("config.yml", text, LintOptions(select=("PPC009",)))
    assert not asked.repairs
    assert set(asked.refusals.values()) == {
        "right for one release, wrong for another: set --release or --containerd"
    }
    for release, after in (("3.1", 'redis: {addrs: ["r:1"]}\n'), ("2.8", "redis: {addr: 'r:1'}\n")):
        result = fixed("config.yml", text, LintOptions((release,), select=("PPC009",)))
        texts = [repair.after.text for repair in result.repairs] or [text]
        assert texts[0].endswith(after)


def test_one_impossible_edit_does_not_block_the_others() -> None:
    text = (
        '[host."http://m"]\nskip_verify = true\n"capabilitie" = ["pull"]\ncapabilities = ["pull"]\n'
    )
    result = fixed("hosts.toml", text)
    assert [repair.after.text for repair in result.repairs] == [
        text.replace("skip_verify = true\n", "")
    ]
    assert [(f.rule, reason) for f, reason in result.refusals.items()] == [
        ("PPH006", "capabilities is already there")
    ]


def test_the_mission_s_files() -> None:
    """Everything that has one right answer is fixed, and nothing else."""
    mission = Path(__file__).parents[3] / "fixtures" / "mission"
    result = repaired(project_of(mission, (".",)), LintOptions())
    changed = {
        str(Path(repair.after.absolute).relative_to(mission)): [
            line
            for line in repair.after.text.splitlines()
            if line not in repair.before.text.splitlines()
        ]
        for repair in result.repairs
    }
    assert changed["node/wrong.d/docker.io/hosts.toml"] == [
        'server = "https://registry-1.docker.io"'
    ]
    assert changed["practice/etc/containerd/config.toml"][:1] == ["version = 2"]
    config = changed["theory/opt/docker/registry/config.yml"]
    assert [re.sub(r"\s+# mistake.*", "", line).strip() for line in config] == [
        "version: 0.1",
        "# not known to 2.8",
        "addr: :80",
        "addr: :5001",
        "draintimeout: 30s",
    ]


def test_a_file_that_is_given_twice_is_fixed_once(tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text('server = "https://docker.io"\n')
    project = read_all([str(tmp_path), str(file)])
    assert len([d for d in project.documents if d.path == str(file)]) == 1
