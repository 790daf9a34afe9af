"""Hostile text in an explanation breaks no form and reaches no terminal as control characters."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.nodes.explain.containerd_pull import explain_containerd
from harness.nodes.explain.explanation import Diagnostic, Explanation, printable
from harness.nodes.explain.render import RENDERERS
from harness.nodes.explain.tree import print_tree
from harness.nodes.models.files import FileLine
from tests.unit.explain.asking import question

BASE = explain_containerd(
    question("up.example/a:v1", {"up.example/hosts.toml": '[host."https://m1"]\n'})
)
HOSTILE_TEXT = st.text(max_size=30) | st.sampled_from(
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


def with_words(words: str) -> Explanation:
    """The explanation with *words* in every text that comes from files or hosts."""
    (one,) = BASE.rounds
    requests = tuple(
        replace(r, url=f"https://{words}/v2/", host=words, result=words, credential=words)
        for r in one.requests
    )
    return replace(
        BASE,
        image=words,
        remarks=(Diagnostic(words, FileLine(words, 1)),),
        read=(words,),
        hosts=tuple(replace(h, name=words, url=words, because=words) for h in BASE.hosts),
        rounds=(replace(one, title=words, requests=requests, error=words),),
    )


@given(HOSTILE_TEXT)
def test_no_control_characters(words: str) -> None:
    explanation = with_words(words)
    texts = [render(explanation) for render in RENDERERS.values()]
    console = Console(file=io.StringIO(), width=200, highlight=False)
    print_tree(explanation, console)
    assert isinstance(console.file, io.StringIO)
    for text in (*texts, console.file.getvalue()):
        assert text == printable(text, lines=True)


@given(HOSTILE_TEXT)
def test_nothing_in_the_text_breaks_json_or_mermaid(words: str) -> None:
    explanation = with_words(words)
    document = json.loads(RENDERERS["json"](explanation))
    assert document["image"] == words
    lines = RENDERERS["mermaid"](explanation).splitlines()
    assert len(lines) == len(RENDERERS["mermaid"](with_words("plain")).splitlines())


@pytest.mark.parametrize("is_terminal", [True, False])
def test_colour_only_on_a_terminal(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    file = io.StringIO()
    print_tree(BASE, Console(file=file, force_terminal=is_terminal, width=200, highlight=False))
    assert ("\x1b[" in file.getvalue()) == is_terminal
