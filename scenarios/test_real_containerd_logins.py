"""Which login a real containerd gives to the cache, and from when on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.clients.containerd import Containerd
from harness.clients.source_network import SourceNetwork
from harness.nodes.models.kubelet import pull_requests
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, scenario
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

CRI_DOC = "containerd docs/cri/registry.md"
LOGIN = ("user", "secret")
MakeUpstream = Callable[..., MockUpstream]


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


@scenario(
    "containerd.configs-by-contacted-host",
    "A login in config.toml is given to the host that it names, port included, not to that of the "
    "image's registry",
    level=INFO,
    refs=(CRI_DOC, CONTAINERD_1_6),
    needs=NEEDS,
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
    "containerd.config-toml-needs-restart",
    "A mirror in certs.d counts from the next pull on, its login in config.toml only after a "
    "restart of containerd",
    level=INFO,
    refs=(HOSTS_DOC, CRI_DOC, CONTAINERD_1_6),
    needs=NEEDS,
)
def test_config_toml_needs_restart(
    containerd: Containerd,
    internet: SourceNetwork,
    guarded: RunningRegistry,
    expect: Expectations,
) -> None:
    """Both are edited at once, and pulls go on from the source: nothing says that a restart is
    due."""
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
    "containerd.secret-for-the-wrong-registry",
    "A pull secret that names the mirror is not used; one that names the image's registry opens it",
    level=INFO,
    refs=("kubernetes docs: Images, Interpretation of config.json", CONTAINERD_1_6),
    needs=NEEDS,
)
@pytest.mark.parametrize("key", ["mirror", "registry"])
def test_secret_for_the_wrong_registry(
    key: str,
    containerd: Containerd,
    internet: SourceNetwork,
    guarded: RunningRegistry,
    expect: Expectations,
) -> None:
    """The model of kubelet chooses the secret; what comes of it is containerd's doing."""
    secret = pull_secret(name_of(guarded) if key == "mirror" else SOURCE)
    (request,) = pull_requests(IMAGE, {"regcred": secret})
    containerd.use_hosts(SOURCE, hosts_toml(guarded.url))
    auth = request.auth
    pull = containerd.cri_pull(IMAGE, None if auth is None else (auth.username, auth.password))
    expect.client("the pull carries a login", auth is not None, key == "registry")
    expect.client("the pull succeeds", pull.ok, True)
    tried = [] if key == "registry" else [SOURCE]
    expect.upstream("hosts of the internet that were tried", internet.asked, tried)
