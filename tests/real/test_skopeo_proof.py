"""The model of containers/image against a real skopeo, request by request.

``--skopeo BINARY`` names another one, ``--skopeo-generated N --seed S`` makes up other cases; see
docs/client-models.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from harness.system.real_parts import real_part
from tests.real.made_up import play_made_up
from tests.real.skopeo_lab import SkopeoLab


@pytest.fixture(scope="module")
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SkopeoLab]:
    program: Path = request.config.getoption("skopeo") or real_part("skopeo")
    lab = SkopeoLab(tmp_path_factory.mktemp("skopeo"), program.resolve())
    try:
        yield lab
    finally:
        lab.stop()


# -- stories ------------------------------------------------------------------------------------
def _rarely(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """*strategy* in one of four."""
    return st.integers(0, 3).flatmap(lambda n: strategy if n == 3 else st.none())


_USAGES = st.sampled_from(["all", "digest-only", "tag-only"])
_PLACES = st.sampled_from(["{m1}", "{m2}", "{m3}", "{m1}/cache", "{up}"])


@st.composite
def _registry(draw: st.DrawFn) -> str:
    prefix = draw(_rarely(st.sampled_from(["{up}/team", "{up}/team/app", "{up}/other", "{m1}"])))
    location = draw(st.sampled_from(["{up}", "{up}", "{up}", "{m3}"]))
    if prefix is not None:
        location += prefix[len(prefix.partition("/")[0]) :]
    lines = ["[[registry]]", f'location = "{location}"']
    lines += [f'prefix = "{prefix}"'] if prefix else []
    lines += ["insecure = true"] if draw(st.booleans()) else []
    lines += ["blocked = true"] if draw(_rarely(_rarely(st.just(True)))) else []
    lines += ["mirror-by-digest-only = true"] if draw(_rarely(_rarely(st.just(True)))) else []
    for place in draw(st.lists(_PLACES, max_size=3)):
        lines += ["[[registry.mirror]]", f'location = "{place}"']
        lines += ["insecure = true"] if draw(st.booleans()) else []
        usage = draw(_rarely(_USAGES))
        lines += [f'pull-from-mirror = "{usage}"'] if usage else []
    return "\n".join(lines) + "\n"


@st.composite
def _version_1(draw: st.DrawFn) -> str:
    """Lists of names; sometimes with something of version 2, which is an error."""
    names = st.lists(
        st.sampled_from(["{up}", "{up}/", "{up}/team", "{m1}", "http://{up}"]), max_size=2
    )
    lists = {kind: draw(names) for kind in draw(st.sets(st.sampled_from(["insecure", "block"])))}
    mixed = draw(_rarely(_rarely(st.just('unqualified-search-registries = ["{m1}"]\n'))))
    lines = [
        f"[registries.{kind}]\nregistries = {json.dumps(found)}" for kind, found in lists.items()
    ]
    return (mixed or "") + "\n".join([*lines, ""])


_RULES: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda on, do: {"on": on, "do": do},
    st.sampled_from(
        [
            {"kind": "base"},
            {"kind": "manifest-tag"},
            {"kind": "manifest-digest"},
            {"obj": "layer"},
            {"obj": "config"},
        ]
    ),
    # Not 429: skopeo waits for two seconds and more before it asks again (measured, S cases).
    st.one_of(
        st.builds(
            lambda status: {"status": status},
            st.sampled_from([400, 401, 403, 404, 405, 410, 500, 502, 503, 504]),
        ),
        st.just({"html": True}),
        st.just({"wrong_body": True}),
    ),
)


@st.composite
def _behaviour(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    match draw(st.integers(0, 8)):
        case 1:
            found["down"] = True
        case 2 | 3:
            found["store"] = False
        case 4:
            found["tls"] = draw(st.sampled_from(["plain", "tls"]))
        case 5:
            found["cert"] = "untrusted"
        case 6 | 7:
            found["rules"] = [draw(_RULES)]
    if draw(_rarely(st.just(True))):
        found["auth"] = {"type": "basic", "cred": "u:p"}
    return found


@st.composite
def stories(draw: st.DrawFn) -> dict[str, Any]:
    """A configuration, how hosts behave, an image and logins."""
    story: dict[str, Any] = {
        "registries.conf": draw(
            st.integers(0, 7).flatmap(lambda n: _registry() if n else _version_1())
        ),
        "image": draw(st.sampled_from(["{up}/team/app:v1", "{up}/team/app@{digest}"])),
        "hosts": {
            host: found for host in ("m1", "m2", "m3", "up") if (found := draw(_behaviour()))
        },
    }
    if drop_in := draw(_rarely(st.one_of(_registry(), _registry(), _version_1()))):
        story["drop-ins"] = {draw(st.sampled_from(["10.conf", "ignored.txt"])): drop_in}
    logins = draw(st.lists(st.sampled_from(["{m1}", "{m2}", "{up}"]), max_size=2, unique=True))
    if logins:
        story["auths"] = {host: draw(st.sampled_from(["u:p", "u:wrong"])) for host in logins}
    return story


# -- the proof ----------------------------------------------------------------------------------
def test_what_is_made_up_goes_as_the_model_says(
    lab: SkopeoLab, request: pytest.FixtureRequest, record_property: Any
) -> None:
    """Random configurations, hosts and logins; a difference shrinks to its simplest story."""
    count: int = request.config.getoption("skopeo_generated")
    seed: int = request.config.getoption("seed")
    record_property("seed", seed)

    def play(story: dict[str, Any]) -> None:
        found, measured = lab.difference(story)
        assert not found, (
            f"model and skopeo differ (seed {seed}): {found}\n{story['registries.conf']}\n"
            f"{json.dumps({**story, 'measured': measured}, indent=1)}"
        )

    played = play_made_up(stories(), play, count=count, seed=seed)
    sys.stdout.write(f"{played} cases of seed {seed}\n")
    assert played >= count
