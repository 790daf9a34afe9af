"""Half-written, enormous and hostile files: one clear finding each, in bounded time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.releases import RELEASES

IMAGE = "reg.example/team/app:v1"


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
