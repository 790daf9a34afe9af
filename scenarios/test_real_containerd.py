"""A real containerd in front of the cache, driven by CRI as kubelet does, and by ``ctr``."""

from __future__ import annotations

import pytest

from harness.clients.containerd import Containerd
from harness.clients.source_network import SourceNetwork
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, SHOULD, Need, theme
from harness.upstream import MockUpstream
from scenarios.mirroring import HOSTS_DOC
from scenarios.real_clients import (
    CONTAINERD_1_6,
    IMAGE,
    NEEDS,
    NO_USE,
    SOURCE,
    a_mirror,
    a_source,
    asked_cache,
    asked_source,
    hosts_toml,
    known_upstream,
    pull_of_one_layer,
)
from scenarios.steps import MakeUpstream, credentials

scenario = theme("containerd", level=INFO, needs=NEEDS)


@scenario(
    "ctr-is-not-cri",
    "CRI pulls from the mirror in certs.d; ctr pulls from the source unless given --hosts-dir",
    refs=("containerd docs/cri/registry.md", "containerd docs/hosts.md", CONTAINERD_1_6),
)
@pytest.mark.parametrize("puller", ["cri", "ctr", "ctr-with-hosts-dir"])
def test_ctr_is_not_cri(
    puller: str,
    containerd: Containerd,
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A test of a mirror with ctr tests nothing; crictl is the tool for it."""
    source = a_source(internet, upstream, make_upstream)
    cache = target.proxy(upstream)
    containerd.use_hosts(SOURCE, hosts_toml(cache.url))
    if puller == "cri":
        pull = containerd.cri_pull(IMAGE)
    else:
        reported = ["--hosts-dir", str(containerd.certs_d)] if puller != "ctr" else []
        pull = containerd.ctr("images", "pull", *reported, IMAGE)
    all_of_it = pull_of_one_layer(head=True)
    expect.client("the pull succeeds", pull.ok, True)
    of_cache, of_source = ({}, all_of_it) if puller == "ctr" else (all_of_it, {})
    expect.client("asked of the cache", asked_cache(cache, of_cache), of_cache)
    expect.upstream("asked of the source", asked_source(source), of_source)


@scenario(
    "falls-back",
    "containerd pulls from the source when the mirror is down, lacks the image, is limited or "
    "asks for a password",
    refs=(HOSTS_DOC, "containerd#3850", CONTAINERD_1_6),
    needs=NEEDS | {Need.RESTART},
)
@pytest.mark.parametrize("mirror", NO_USE)
def test_falls_back(
    mirror: str,
    containerd: Containerd,
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """The pod's events do not show that the mirror failed."""
    source = make_upstream()
    cache = a_mirror(mirror, target, upstream, known_upstream(source, "team/app"))
    internet.lead({SOURCE: source.url})
    containerd.use_hosts(SOURCE, hosts_toml(cache.url))
    pull = containerd.cri_pull(IMAGE)
    expect.client("the pull succeeds", pull.ok, True)
    expect.upstream("hosts of the internet that were tried", internet.asked, [SOURCE])
    expect.upstream("manifest from the source", source.ledger.count("GET", kind="manifest"), 1)


@scenario(
    "pull-only-mirror",
    "A mirror without the resolve capability is skipped for tags and used for content",
    refs=(HOSTS_DOC, CONTAINERD_1_6),
)
def test_pull_only_mirror(
    containerd: Containerd,
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """The source decides what a tag means, and the cache carries the bytes."""
    source = a_source(internet, upstream, make_upstream)
    cache = target.proxy(upstream)
    containerd.use_hosts(SOURCE, hosts_toml(cache.url, 'capabilities = ["pull"]\n'))
    pull = containerd.cri_pull(IMAGE)
    expect.client("the pull succeeds", pull.ok, True)
    content = pull_of_one_layer(head=False)
    expect.client("asked of the cache", asked_cache(cache, content), content)
    expect.upstream("asked of the source", asked_source(source), {"HEAD manifest 200": 1})


@scenario(
    "certs-d-is-live",
    "containerd reads certs.d at each pull, so a new mirror needs no restart",
    refs=(HOSTS_DOC, "containerd docs/cri/registry.md", CONTAINERD_1_6),
)
def test_certs_d_is_live(
    containerd: Containerd,
    internet: SourceNetwork,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """config.toml is read at start only, so people restart nodes for nothing."""
    known_upstream(upstream, "team/app")
    cache = target.proxy(upstream)
    internet.lead({SOURCE: upstream.url})
    before = containerd.cri_pull(IMAGE)
    expect.client("pull without a mirror", before.ok, True)
    expect.client("asked of the cache", asked_cache(cache), {})
    containerd.forget()
    internet.lead({})
    containerd.use_hosts(SOURCE, hosts_toml(cache.url))
    after = containerd.cri_pull(IMAGE)
    expect.client("pull with a mirror", after.ok, True)
    wanted = pull_of_one_layer(head=True)
    expect.client("asked of the cache then", asked_cache(cache, wanted), wanted)


@scenario(
    "pull-secret-goes-to-the-mirror",
    "containerd gives an image's pull secret to a mirror that asks for a password",
    refs=("kubernetes docs: Pull an Image from a Private Registry", CONTAINERD_1_6),
)
@pytest.mark.parametrize("secret", ["fits", "differs"])
def test_pull_secret(
    secret: str,
    containerd: Containerd,
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """kubelet chooses the secret by the image's name; it does not mention the mirror."""
    a_source(internet, upstream, make_upstream)
    cache = target.proxy(upstream, htpasswd={"user": "secret"})
    containerd.use_hosts(SOURCE, hosts_toml(cache.url))
    pull = containerd.cri_pull(IMAGE, ("user", "secret" if secret == "fits" else "another"))
    fits = secret == "fits"
    expect.client("the pull succeeds", pull.ok, True)
    expect.upstream(
        "hosts of the internet that were tried", internet.asked, [] if fits else [SOURCE]
    )
    expect.upstream(
        "credentials that the cache's upstream saw",
        credentials(upstream) - {"none"},
        set(),
    )


@scenario(
    "whole-pull-from-the-mirror",
    "A node pulls everything through the cache, and the next node costs upstream no content",
    level=SHOULD,
    refs=(HOSTS_DOC, "distribution docs: Registry as a pull through cache", CONTAINERD_1_6),
)
def test_whole_pull(
    containerd: Containerd,
    internet: SourceNetwork,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Nodes need no route to the internet, only to the cache."""
    known_upstream(upstream, "team/app")
    cache = target.proxy(upstream)
    internet.lead({})
    containerd.use_hosts(SOURCE, hosts_toml(cache.url))
    first = containerd.cri_pull(IMAGE)
    containerd.forget()
    upstream.ledger.wait_idle()
    upstream.ledger.clear()
    containerd.use_hosts(SOURCE, hosts_toml(cache.url))
    second = containerd.cri_pull(IMAGE)
    expect.client("pulls that succeed", [first.ok, second.ok], [True, True])
    expect.upstream("hosts of the internet that were tried", internet.asked, [])
    expect.upstream("content for the second node", upstream.ledger.count("GET", kind="blob"), 0)
    expect.upstream(
        "ns that upstream saw", {e.query for e in upstream.ledger.entries} - {""}, set()
    )
