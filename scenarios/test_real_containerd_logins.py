"""Which login a real containerd sends to the cache, and when a change takes effect."""

from __future__ import annotations

import pytest

from harness.clients.containerd import Containerd
from harness.clients.source_network import SourceNetwork
from harness.nodes.models.kubelet import pull_requests
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.mirroring import HOSTS_DOC, pull_secret
from scenarios.real_clients import (
    CONTAINERD_1_6,
    IMAGE,
    NEEDS,
    SOURCE,
    a_source,
    hosts_toml,
    name_of,
)
from scenarios.steps import MakeUpstream

CRI_DOC = "containerd docs/cri/registry.md"
LOGIN = ("user", "secret")


@pytest.fixture
def guarded(
    internet: SourceNetwork,
    upstream: MockUpstream,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
) -> RunningRegistry:
    """A cache that lets in :data:`LOGIN` only, of an image that the source gives to everyone."""
    a_source(internet, upstream, make_upstream)
    return target.proxy(upstream, htpasswd=dict([LOGIN]))


scenario = theme("containerd", level=INFO, needs=NEEDS)


@scenario(
    "configs-by-contacted-host",
    "A login in config.toml goes to the host and port it names, not to the image's registry",
    refs=(CRI_DOC, CONTAINERD_1_6),
)
@pytest.mark.parametrize("key", ["mirror", "registry", "without-port"])
def test_configs_by_contacted_host(
    key: str,
    containerd: Containerd,
    internet: SourceNetwork,
    guarded: RunningRegistry,
    expect: Expectations,
) -> None:
    """The name of the directory below certs.d has nothing to do with it."""
    mirror = name_of(guarded)
    keys = {"mirror": mirror, "registry": SOURCE, "without-port": mirror.partition(":")[0]}
    containerd.use_logins({keys[key]: LOGIN})
    containerd.restart()
    containerd.use_hosts(SOURCE, hosts_toml(guarded.url))
    pull = containerd.cri_pull(IMAGE)
    expect.client("the pull succeeds", pull.ok, True)
    tried = [] if key == "mirror" else [SOURCE]
    expect.upstream("hosts of the internet that were tried", internet.asked, tried)


@scenario(
    "config-toml-needs-restart",
    "A mirror in certs.d takes effect at the next pull, its login in config.toml after a restart",
    refs=(HOSTS_DOC, CRI_DOC, CONTAINERD_1_6),
)
def test_config_toml_needs_restart(
    containerd: Containerd,
    internet: SourceNetwork,
    guarded: RunningRegistry,
    expect: Expectations,
) -> None:
    """Both are edited together, pulls continue from the source, and no message says that a restart
    is needed."""
    containerd.use_hosts(SOURCE, hosts_toml(guarded.url))
    containerd.use_logins({name_of(guarded): LOGIN})
    running = containerd.cri_pull(IMAGE)
    expect.client("the pull succeeds", running.ok, True)
    expect.upstream("tried before the restart", internet.asked, [SOURCE])
    containerd.forget_images()
    internet.lead({})
    containerd.restart()
    restarted = containerd.cri_pull(IMAGE)
    expect.client("the pull after the restart succeeds", restarted.ok, True)
    expect.upstream("tried after the restart", internet.asked, [])


@scenario(
    "secret-for-the-wrong-registry",
    "A pull secret named after the mirror is not used; one named after the image's registry works",
    refs=("kubernetes docs: Images, Interpretation of config.json", CONTAINERD_1_6),
)
@pytest.mark.parametrize("key", ["mirror", "registry"])
def test_secret_for_the_wrong_registry(
    key: str,
    containerd: Containerd,
    internet: SourceNetwork,
    guarded: RunningRegistry,
    expect: Expectations,
) -> None:
    """kubelet's model chooses the secret; the real containerd does the rest."""
    secret = pull_secret(name_of(guarded) if key == "mirror" else SOURCE)
    (request,) = pull_requests(IMAGE, {"regcred": secret})
    containerd.use_hosts(SOURCE, hosts_toml(guarded.url))
    auth = request.auth
    pull = containerd.cri_pull(IMAGE, None if auth is None else (auth.username, auth.password))
    expect.client("the pull carries a login", auth is not None, key == "registry")
    expect.client("the pull succeeds", pull.ok, True)
    tried = [] if key == "registry" else [SOURCE]
    expect.upstream("hosts of the internet that were tried", internet.asked, tried)
