"""Runs a plan against hosts with given behaviours: every request, and the result.

:func:`simulate` is deterministic and contacts nothing; behaviours are data
(:mod:`harness.nodes.models.behaviours`). :func:`run` accepts any network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.content import Manifest, Platform, an_image
from harness.nodes.models.attempts import Attempt
from harness.nodes.models.behaviours import HEALTHY, HostBehaviour
from harness.nodes.models.containerd.conversation import Conversation, Hangs, RequestFailed
from harness.nodes.models.containerd.fetching import Fetching
from harness.nodes.models.containerd.plan import ContainerdPull, Plan, PullError
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.containerd.pushing import Pushing
from harness.nodes.models.containerd.resolving import Resolving
from harness.nodes.models.network import Network
from harness.nodes.models.simulated_network import RegistryContent, SimulatedNetwork

__all__ = ["run", "simulate"]

_PLATFORM = Platform()


def simulate(
    plan: Plan,
    behaviours: Mapping[str, HostBehaviour] | None = None,
    *,
    image: Manifest | None = None,
    elsewhere: HostBehaviour = HEALTHY,
) -> ContainerdPull:
    """The pull (or push) of *plan* with these *behaviours*.

    Keys of *behaviours* are hosts as URLs name them, with or without port. Every other host behaves
    like *elsewhere*, healthy by default. All hosts have *image*, a small one by default.
    """
    image = image or an_image(layers=1)
    network = SimulatedNetwork(behaviours or {}, RegistryContent(image), elsewhere=elsewhere)
    return run(plan, network, image)


def run(plan: Plan, network: Network, image: Manifest | None = None) -> ContainerdPull:
    """The pull of *plan* over *network*; *image* is the image of a push."""
    if plan.refusal is not None:
        return _failed(plan, _refused(plan))
    record: list[Attempt] = []
    try:
        _run(plan, network, image, record)
    except RequestFailed as failed:
        errors = tuple(_error(plan, each) for each in (failed, *failed.others))
        return ContainerdPull(plan, tuple(record), errors[0], errors)
    except Hangs as hangs:
        return _failed(plan, _deadline(plan, hangs.failed), record)
    return ContainerdPull(plan, tuple(record))


def _run(plan: Plan, network: Network, image: Manifest | None, record: list[Attempt]) -> None:
    command = plan.puller.command if isinstance(plan.puller, Ctr) else "pull"
    if command == "push":
        if image is None:
            raise ValueError("a push needs an image")
        Pushing(plan, _conversation(plan, network, record)).run(image)
        return
    try:
        root = Resolving(plan, _conversation(plan, network, record)).run()
    except RequestFailed as failed:
        if command == "fetch-object":
            raise
        raise failed.within(_resolving(plan)) from None
    fetching = Fetching(plan, _conversation(plan, network, record), _PLATFORM)
    if command == "fetch-object":
        fetching.fetch_only(root)
    else:
        fetching.run(root)


def _conversation(plan: Plan, network: Network, record: list[Attempt]) -> Conversation:
    release = plan.release
    if isinstance(plan.puller, Ctr):
        # Only the CRI plugin redacts its errors (internal/cri/util/sanitize.go).
        release = replace(release, redacts_queries=False)
    return Conversation(network, release, record)


def _failed(plan: Plan, error: PullError, record: Sequence[Attempt] = ()) -> ContainerdPull:
    return ContainerdPull(plan, tuple(record), error, (error,))


# -- errors -------------------------------------------------------------------------------------
def _resolving(plan: Plan) -> str:
    if plan.transfer:
        return "failed to resolve image: "
    return f'failed to resolve reference "{plan.reference}": '


def _pulling(plan: Plan) -> str:
    if isinstance(plan.puller, Ctr):
        return "ctr: "
    return f'failed to pull and unpack image "{plan.reference}": '


def _as_grpc(plan: Plan, code: str | None) -> str:
    """The prefix of Go's gRPC client before the server's text, if ``ctr`` shows it."""
    shown = isinstance(plan.puller, Ctr) and plan.transfer and plan.release.ctr_shows_grpc_codes
    name = (code or "UNKNOWN").title().replace("_", "")
    return f"rpc error: code = {name} desc = " if shown else ""


def _refused(plan: Plan) -> PullError:
    refusal = plan.refusal
    assert refusal is not None
    code = None if isinstance(plan.puller, Ctr) else refusal.code
    if refusal.while_resolving:
        text = f"{_as_grpc(plan, refusal.code)}{_resolving(plan)}{refusal.message}"
        return PullError(f"{_pulling(plan)}{text}", code)
    prefix = "ctr: " if isinstance(plan.puller, Ctr) else ""
    return PullError(prefix + refusal.message, code)


def _error(plan: Plan, failed: RequestFailed) -> PullError:
    code = failed.code or ("NOT_FOUND" if failed.not_found else "UNKNOWN")
    doing = "" if failed.stands_alone else _pulling(plan) + _as_grpc(plan, code)
    message = doing + failed.text
    if isinstance(plan.puller, Ctr):
        return PullError(message, None, failed.host, failed.status)
    if code != "UNKNOWN" and plan.release.mangles_percent:
        message = message.replace("%3A", "%!A(MISSING)")
    return PullError(message, code, failed.host, failed.status)


def _deadline(plan: Plan, failed: RequestFailed) -> PullError:
    code = None if isinstance(plan.puller, Ctr) else "DEADLINE_EXCEEDED"
    return PullError(f"{_pulling(plan)}context deadline exceeded", code, failed.host)
