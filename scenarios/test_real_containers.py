"""Real skopeo and podman in front of the cache, with a registries.conf."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.clients.containers import Podman, Skopeo
from harness.clients.source_network import SourceNetwork
from harness.suite.expectation import Expectations, containing
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, SHOULD, Need, scenario
from harness.upstream import MockUpstream
from scenarios.real_clients import (
    NEEDS,
    SOURCE,
    TAG,
    a_mirror,
    asked_cache,
    asked_source,
    known_upstream,
    name_of,
    pull_of_one_layer,
)
from scenarios.steps import MakeUpstream, credentials

CONF = "containers-registries.conf(5)"
MEASURED = "measured on skopeo 1.9.3 and podman 4.3.1"
IMAGE = f"{SOURCE}/team/app:{TAG}"


@scenario(
    "skopeo.mirror-order",
    "skopeo tries mirrors in the order of registries.conf, and the source last",
    level=INFO,
    refs=(CONF, MEASURED),
    needs=NEEDS,
)
@pytest.mark.parametrize("where", ["first", "second", "source"])
def test_mirror_order(
    where: str,
    skopeo: Skopeo,
    tmp_path: Path,
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """With caches in two zones the order decides the traffic between them."""
    other, source = make_upstream(), make_upstream()
    image = known_upstream(source, "team/app")
    for owner in {"first": (upstream, other), "second": (other,)}.get(where, ()):
        owner.add("team/app", image, tags=(TAG,))
    first, second = target.proxy(upstream), target.proxy(other)
    internet.lead({SOURCE: source.url})
    skopeo.use_mirrors(SOURCE, name_of(first), name_of(second))
    copy = skopeo("copy", f"docker://{IMAGE}", f"dir:{tmp_path / 'image'}")
    whole, lacks = pull_of_one_layer(head=False), {"GET manifest 404": 1}
    of_first = whole if where == "first" else lacks
    of_second = {"first": {}, "second": whole}.get(where, lacks)
    expect.client("the copy succeeds", copy.ok, True)
    expect.client("asked of the first mirror", asked_cache(first, of_first), of_first)
    expect.client("asked of the second mirror", asked_cache(second, of_second), of_second)
    expect.upstream("asked of the source", asked_source(source), whole if where == "source" else {})


@scenario(
    "skopeo.inspect",
    "skopeo inspect costs a counted manifest pull and lists tags at the source, not the mirror",
    level=INFO,
    refs=(CONF, "Docker docs: Docker Hub pull usage and limits", MEASURED),
    needs=NEEDS,
)
def test_inspect(
    skopeo: Skopeo,
    internet: SourceNetwork,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Scripts that check for updates this way use up a rate limit. Behind a mirror without a route
    to the source they fail although the image can be pulled."""
    image = known_upstream(upstream, "team/app")
    cache = target.proxy(upstream)
    upstream.ledger.clear()
    internet.lead({SOURCE: upstream.url})
    skopeo.use_mirrors(SOURCE, name_of(cache))
    seen = skopeo("inspect", f"docker://{IMAGE}")
    expect.client("skopeo inspect succeeds", seen.ok, True)
    reported = json.loads(seen.output) if seen.ok else {}
    expect.client("it names the digest", reported.get("Digest") == image.digest, True)
    wanted = {"GET manifest 200": 1, "GET blob 200": 1}
    expect.client("asked of the mirror", asked_cache(cache, wanted), wanted)
    expect.upstream("hosts of the internet that were tried", internet.asked, [SOURCE])
    expect.upstream("lists of tags", upstream.ledger.count("GET", kind="tags"), 1)
    internet.lead({})
    closed = skopeo("inspect", f"docker://{IMAGE}")
    expect.client("without a way to the source", closed.ok, False)


@scenario(
    "skopeo.push-is-refused",
    "skopeo copy to the cache fails with a clear message, at the manifest or at the first "
    "missing blob",
    level=INFO,
    refs=("d#3424", MEASURED),
    needs=NEEDS,
)
@pytest.mark.parametrize("upstream_has", [True, False], ids=["known", "new"])
def test_push_is_refused(
    upstream_has: bool,
    skopeo: Skopeo,
    tmp_path: Path,
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Unlike docker, skopeo does not retry."""
    source = make_upstream()
    image = known_upstream(source, "team/app")
    if upstream_has:
        upstream.add("team/app", image, tags=(TAG,))
    cache = target.proxy(upstream)
    internet.lead({SOURCE: source.url})
    place = f"dir:{tmp_path / 'image'}"
    skopeo("copy", f"docker://{IMAGE}", place)
    push = skopeo(
        "copy", "--dest-tls-verify=false", place, f"docker://{name_of(cache)}/team/app:{TAG}"
    )
    expect.client("the copy succeeds", push.ok, False)
    step = "uploading manifest" if upstream_has else "initiating layer upload"
    expect.client("at which step", push.output, containing(step))
    expect.client("it says why", "unsupported" in push.output, True)
    if upstream_has:
        wanted = {"HEAD blob 200": 2, "PUT manifest 405": 1}
        expect.client("asked of the cache", asked_cache(cache, wanted), wanted)
    expect.upstream(
        "other methods than GET and HEAD",
        {entry.method for entry in upstream.ledger.entries} - {"GET", "HEAD"},
        set(),
    )


@scenario(
    "podman.mirror",
    "podman pulls from the mirror of its registries.conf, and from the source if that fails",
    level=SHOULD,
    refs=(CONF, MEASURED),
    needs=NEEDS | {Need.RESTART},
)
@pytest.mark.parametrize("mirror", ["works", "down", "lacks-it"])
def test_podman_mirror(
    mirror: str,
    podman: Podman,
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """The same file configures podman, buildah, skopeo and CRI-O."""
    source = make_upstream()
    cache = a_mirror(mirror, target, upstream, known_upstream(source, "team/app"))
    internet.lead({SOURCE: source.url})
    podman.use_mirrors(SOURCE, name_of(cache))
    pull = podman.pull(IMAGE)
    expect.client("podman pull succeeds", pull.ok, True)
    whole = pull_of_one_layer(head=False)
    of_cache = {"works": whole, "lacks-it": {"GET manifest 404": 1}}.get(mirror, {})
    expect.client("asked of the cache", asked_cache(cache, of_cache), of_cache)
    of_source = {} if mirror == "works" else whole
    expect.upstream("asked of the source", asked_source(source), of_source)


@scenario(
    "podman.login",
    "podman login at a cache with htpasswd needs the right password, and a mirror gets the login "
    "stored under its own name",
    level=INFO,
    refs=("containers-auth.json(5)", MEASURED),
    needs=NEEDS,
)
@pytest.mark.parametrize("login", ["right", "wrong", "of-the-source"])
def test_podman_login(
    login: str,
    podman: Podman,
    internet: SourceNetwork,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """docker does the opposite: it gives a mirror the login of Docker Hub."""
    known_upstream(upstream, "team/app")
    cache = target.proxy(upstream, htpasswd={"user": "right"})
    internet.lead({})
    podman.use_mirrors(SOURCE, name_of(cache))
    if login == "of-the-source":
        podman.log_in(SOURCE, "user", "right")
    else:
        words = ("login", "--tls-verify=false", "--username", "user", "--password-stdin")
        done = podman(*words, name_of(cache), given=login)
        expect.client("podman login succeeds", done.ok, login == "right")
    pull = podman.pull(IMAGE)
    expect.client("podman pull succeeds", pull.ok, login == "right")
    expect.upstream(
        "credentials that the cache's upstream saw",
        credentials(upstream) - {"none"},
        set(),
    )
