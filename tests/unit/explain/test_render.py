"""Whatever stands in an explanation, each form stays what it is and shows no control character."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.nodes.explain.containerd_pull import explain_containerd
from harness.nodes.explain.explanation import Explanation, Place, Remark, printable
from harness.nodes.explain.render import FORMATS, renderer
from harness.nodes.explain.render.tree import print_tree
from tests.unit.explain.asking import question

BASE = explain_containerd(
    question("up.example/a:v1", {"up.example/hosts.toml": '[host."https://m1"]\n'})
)
NASTY = st.text(max_size=30) | st.sampled_from(
    [
        "\x1b]0;x\x07",
        "]]></svg><script>",
        "```",
        "a|b",
        "[bold]x[/]",
        "#;\n%%{",
        "\u202eabc",
        "\ud800",
    ]
)


def spoilt(words: str) -> Explanation:
    """The explanation with *words* wherever files or hosts decide what stands there."""
    (one,) = BASE.rounds
    requests = tuple(
        replace(r, url=f"https://{words}/v2/", host=words, result=words, credential=words)
        for r in one.requests
    )
    return replace(
        BASE,
        image=words,
        remarks=(Remark(words, Place(words, 1)),),
        read=(words,),
        hosts=tuple(replace(h, name=words, url=words, because=words) for h in BASE.hosts),
        rounds=(replace(one, title=words, requests=requests, error=words),),
    )


@given(NASTY)
def test_no_control_characters(words: str) -> None:
    explanation = spoilt(words)
    texts = [renderer(form)(explanation) for form in FORMATS]
    console = Console(file=io.StringIO(), width=200, highlight=False)
    print_tree(explanation, console)
    assert isinstance(console.file, io.StringIO)
    for text in (*texts, console.file.getvalue()):
        assert text == printable(text, lines=True)


@given(NASTY)
def test_forms_stay_what_they_are(words: str) -> None:
    explanation = spoilt(words)
    document = json.loads(renderer("json")(explanation))
    assert document["image"] == words
    root = ET.fromstring(renderer("svg")(explanation))
    assert {element.tag.partition("}")[2] for element in root.iter()} <= {
        *("svg", "title", "style", "rect", "line", "text", "g", "path"),
    }
    lines = renderer("mermaid")(explanation).splitlines()
    assert len(lines) == len(renderer("mermaid")(spoilt("plain")).splitlines())


@pytest.mark.parametrize("is_terminal", [True, False])
def test_colour_only_on_a_terminal(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    file = io.StringIO()
    print_tree(BASE, Console(file=file, force_terminal=is_terminal, width=200, highlight=False))
    assert ("\x1b[" in file.getvalue()) == is_terminal
