"""Half-written, enormous and hostile files: one clear finding each, in bounded time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.releases import RELEASES
from harness.nodes.models.toml_statements import LONGEST_LINE

IMAGE = "reg.example/team/app:v1"
HOSTILE = {
    "ten megabytes": 'server = "x"\n' * (10 << 20 >> 4),
    "one endless line": "a" * (LONGEST_LINE + 1),
    "a key of a million parts": "a." * (1 << 19) + "a = 1",
    "arrays in arrays": "client = " + "[" * (LONGEST_LINE - 20),
    "tables in tables": "[host.x]\nca = " + "{a=" * 2000,
    "control characters": 'server = "\x00\x1b[2J\x07"\n[host]\n',
    "half a file": '[host."https://m.example"]\ncapabilities = ["pull",',
    "not text at all": "\ufffd\x7fELF\x02\x01\x01\x00",
    "the same table twice": '[host."https://m.example"]\n[host."https://m.example"]\n',
    "a bare carriage return": 'server = "x"\r[host]\r',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("release", ["1.6.20", "2.3.4"])
def test_a_hostile_hosts_toml_gives_one_finding(text: str, release: str) -> None:
    plan = resolve_plan(IMAGE, {"reg.example/hosts.toml": text}, release=release)
    (finding,) = plan.findings
    assert finding.message.startswith("the whole file is ignored: invalid TOML")
    assert len(str(finding)) < 300
    assert [host.name for host in plan.fetch] == ["reg.example"]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_config_toml_gives_one_finding(text: str) -> None:
    plan = resolve_plan(IMAGE, config_toml=text)
    assert plan.refusal is not None
    assert plan.refusal.finding is not None
    assert len(str(plan.refusal.finding)) < 300


def test_a_path_outside_the_tree_is_not_found() -> None:
    plan = resolve_plan(IMAGE, {"../../../reg.example/hosts.toml": '[host."https://m.example"]'})
    assert plan.directory is None


_TOML = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(
            [
                "server = ",
                '"http://m.example:5001"',
                "[host]",
                '[host."http://m.example"]',
                '[host."m".header]',
                "[[host]]",
                'capabilities = ["pull"]',
                "skip_verify = true",
                "ca = []",
                'client = [["a", "b"]]',
                "host.x.ca = 1",
                "{}",
                "\n",
                " = ",
            ]
        ),
        max_size=12,
    ).map("\n".join),
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(text=_TOML, release=st.sampled_from(RELEASES))
def test_any_text_gives_a_plan(text: str, release: object) -> None:
    version = getattr(release, "version", "")
    plan = resolve_plan(IMAGE, {"reg.example/hosts.toml": text}, release=version)
    assert plan.hosts or plan.refusal
