"""``--fix`` on generated files: it converges, keeps comments, and leaves other lines alone."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from harness.nodes.lint.documents import Document
from harness.nodes.lint.engine import LintOptions
from harness.nodes.lint.fix.repair import repaired
from harness.nodes.lint.parsing import parsed
from harness.nodes.lint.project import Project
from tests.unit.lint.cases import findings

_QUESTION = LintOptions(registry=("3.1",), containerd=("2.3",))

comments = st.sampled_from(["", "", " # why", "   # é '\"", "\t#[x]", " # a: {b"])
blanks = st.sampled_from(["", "", "\n", "# alone\n", "  # server = 'x'\n"])
_TOML_LINES = [
    'capabilities = ["pull", "resolve"]',
    'capabilities = ["pull" ,"resolv"]',
    "capabilities=['pull','push', \"resolve\"]",
    "skip_verify = 'true'",
    "skip_verfy = false",
    "skip_verify = true",
    "ca = '''#'x'''",
    "override_path = true",
    "dial_timeout = 3",
    'header = { X-A = ["#", "b"], "X B" = "c" }',
    "header.X-A = 'x # y'",
]
_YAML_SECTIONS = {
    "version": ["version: 0.1", "version:0.1"],
    "log": ["log:\n  level: info", "loglevel: warn", "log: {accesslog: {disabled: 'true'}}"],
    "storage": [
        "storage:\n  inmemory:",
        "storage:\n    filesystem:\n        rootdirectory: '/a # b'\n"
        '    delete:\n        enabled: "true"',
        "storage: {filesystem: {rootdirectory: /d}, cache: {blobdescriptor: inmemory}}",
        "storage:\n  inmemory:\n  cache: {blobdescriptor: inmemory}\n  delete: {enabled: true}",
    ],
    "http": ["http:\n  addr: 80", "http: {addr: '5000', relativeurls: true, host: https://h}"],
    "proxy": [
        "proxy:\n  remoteURL: https://u\n  ttl: 10",
        "proxy:\n  remoteurl: https://u\n  ttl: 1d",
        "proxy: {remote_url: https://u}",
    ],
}


@st.composite
def toml_files(draw: st.DrawFn) -> tuple[str, str]:
    server = draw(st.sampled_from(['server = "https://docker.io"', "server = 'https://u'", ""]))
    text = draw(blanks) + (server + draw(comments) + "\n" if server else "")
    for host in draw(st.lists(st.sampled_from(["https://m", "http://m", "n:5"]), unique=True)):
        indent = draw(st.sampled_from(["", "  ", "\t"]))
        text += draw(blanks) + f'[host."{host}"]' + draw(comments) + "\n"
        keys: set[str] = set()
        for line in draw(st.lists(st.sampled_from(_TOML_LINES), max_size=4)):
            key = re.match(r"\w+", line)
            assert key is not None
            if key[0] not in keys:
                text += draw(blanks) + indent + line + draw(comments) + "\n"
                keys.add(key[0])
    return "hosts.toml", draw(_broken_at_its_ends(text))


@st.composite
def yaml_files(draw: st.DrawFn) -> tuple[str, str]:
    text = draw(blanks)
    for name in draw(st.permutations(list(_YAML_SECTIONS))):
        if name in {"version", "storage"} or draw(st.booleans()):
            for line in draw(st.sampled_from(_YAML_SECTIONS[name])).split("\n"):
                text += line + draw(comments).replace("\t", " ") + "\n" + draw(blanks)
    return "config.yml", draw(_broken_at_its_ends(text))


@st.composite
def _broken_at_its_ends(draw: st.DrawFn, text: str) -> str:
    """With either line break, and with or without the last one."""
    if draw(st.booleans()):
        text = re.sub(r"\n+([^\n]*)$", r"\n\1", text.removesuffix("\n"))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


def document(name: str, text: str) -> Document:
    found = parsed(name, f"/d/{name}", text.encode(), named=True)
    assert found is not None
    return found


def comments_in(text: str) -> list[str]:
    """What the files above have as comments: no value holds one of these texts."""
    return re.findall(r"# why|# é '\"|#\[x\]|# a: \{b|# alone|# server = 'x'", text)


@given(st.one_of(toml_files(), yaml_files()))
def test_it_converges_and_keeps_comments_and_line_breaks(file: tuple[str, str]) -> None:
    name, text = file
    result = repaired(Project((document(name, text),)), _QUESTION)
    after = result.repairs[0].after.text if result.repairs else text

    assert not repaired(Project((document(name, after),)), _QUESTION).repairs
    left = {f.rule for f in findings(result.project, _QUESTION) if f.edits}
    assert left <= {finding.rule for finding in result.refusals}
    assert comments_in(after) == comments_in(text)
    assert "\r\n" not in text or not re.search(r"[^\r]\n", after)
    assert "\r\n" in text or "\r" not in after
    assert text.endswith("\n") == after.endswith("\n") or not after
