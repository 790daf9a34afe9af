"""Which upstream a name means, and under which name it is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_registry.config import ProxyConfig, UpstreamConfig
from reference_registry.names import is_repository_name
from reference_registry.proxy.upstream.routing import MAIN, Belonging, NotServed, UpstreamRouting

HUB = "https://registry-1.docker.io"
SEVERAL = ProxyConfig(
    remoteurl=HUB,
    library=True,
    upstreams={
        "ghcr.io": UpstreamConfig(remoteurl="https://ghcr.io"),
        "red": UpstreamConfig(remoteurl="https://registry.redhat.io:8443"),
        "old": UpstreamConfig(remoteurl="https://old.example", namespaces=()),
        "mirror": UpstreamConfig(
            remoteurl="https://mirror.example", namespaces=("quay.io", "Localhost:5000")
        ),
    },
)


@pytest.mark.parametrize(
    ("name", "ns", "kept"),
    [
        ("team/app", None, "team/app"),
        ("team/app", "", "team/app"),
        ("nginx", None, "library/nginx"),
        ("ghcr.io/team/app", None, "ghcr.io/team/app"),
        ("ghcr.io/app", None, "ghcr.io/app"),
        ("ghcr.iox/app", None, "ghcr.iox/app"),
        ("ghcr.io", None, "library/ghcr.io"),
        ("team/app", "docker.io", "team/app"),
        ("team/app", "INDEX.docker.io", "team/app"),
        ("nginx", "registry-1.docker.io", "library/nginx"),
        ("team/app", "ghcr.io", "ghcr.io/team/app"),
        ("ghcr.io/team/app", "ghcr.io", "ghcr.io/team/app"),
        ("red/app", "ghcr.io", "ghcr.io/red/app"),
        ("app", "registry.redhat.io:8443", "red/app"),
        ("app", "red", "red/app"),
        ("app", "quay.io", "mirror/app"),
        ("app", "localhost:5000", "mirror/app"),
        ("", "quay.io", ""),
        ("", "docker.io", ""),
        ("", None, ""),
    ],
)
def test_what_a_name_means(name: str, ns: str | None, kept: str) -> None:
    assert UpstreamRouting(SEVERAL).find(name, ns) == kept


@pytest.mark.parametrize(
    ("name", "ns"),
    [
        ("app", "registry.redhat.io"),
        ("app", "mirror.example"),
        ("app", "mirror"),
        ("app", "old.example"),
        ("app", "old"),
        ("app", "docker.io:443"),
        ("app", "docker.io."),
        ("app", " docker.io"),
        ("app", "https://ghcr.io"),
        ("app", "169.254.169.254"),
        ("", "localhost"),
        ("ghcr.io/app", "docker.io"),
        ("red/app", "docker.io"),
    ],
)
def test_what_is_not_served(name: str, ns: str) -> None:
    with pytest.raises(NotServed):
        UpstreamRouting(SEVERAL).find(name, ns)


def test_one_upstream_does_not_look_at_ns() -> None:
    places = UpstreamRouting(ProxyConfig(remoteurl=HUB))
    assert not places.honours_namespaces
    assert places.find("nginx", "quay.io") == "nginx"


def test_one_upstream_that_names_its_namespaces_does() -> None:
    places = UpstreamRouting(
        ProxyConfig(remoteurl="https://cache.example", namespaces=("quay.io",))
    )
    assert places.honours_namespaces
    assert places.find("app", "quay.io") == "app"
    with pytest.raises(NotServed):
        places.find("app", "cache.example")


def test_the_names_of_a_namespace() -> None:
    places = UpstreamRouting(SEVERAL)
    kept = ["ghcr.io/a", "library/nginx", "mirror/b/c", "team/app"]
    assert places.of_namespace(kept, "ghcr.io") == ["a"]
    assert places.of_namespace(kept, "docker.io") == ["library/nginx", "team/app"]
    assert places.of_namespace(kept, "quay.io") == ["b/c"]
    with pytest.raises(NotServed):
        places.of_namespace(kept, "gcr.io")


_COMPONENT = st.sampled_from(["app", "team", "ghcr.io", "red", "library", "x"])
_NAMES = st.lists(_COMPONENT, min_size=1, max_size=3).map("/".join)
_NAMESPACES = st.sampled_from([None, "docker.io", "ghcr.io", "red", "quay.io", "localhost:5000"])


def _meant(name: str, ns: str | None) -> Belonging | None:
    """Upstream and name by the words of the documentation; None for not served."""
    owners = {"docker.io": MAIN, "ghcr.io": "ghcr.io", "red": "red"}
    first, slash, rest = name.partition("/")
    prefix = first if slash and first in {"ghcr.io", "red", "old", "mirror"} else MAIN
    owner = prefix if ns is None else owners.get(ns, "mirror")
    if owner == MAIN:
        if prefix != MAIN:
            return None
        return Belonging(MAIN, name if slash else f"library/{name}")
    return Belonging(owner, rest if prefix == owner else name)


@given(name=_NAMES, ns=_NAMESPACES)
def test_what_is_kept_belongs_to_whom_it_was_asked_of(name: str, ns: str | None) -> None:
    """Two upstreams never share a place: the kept name says all of it."""
    places, meant = UpstreamRouting(SEVERAL), _meant(name, ns)
    if meant is None:
        with pytest.raises(NotServed):
            places.find(name, ns)
        return
    kept = places.find(name, ns)
    assert is_repository_name(kept)
    assert places.belonging(kept) == meant
    assert places.find(kept, None) == kept
