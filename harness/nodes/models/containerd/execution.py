"""Runs a plan against hosts with given behaviours: every request, and the result.

:func:`simulate` is deterministic and contacts nothing; behaviours are data
(:mod:`harness.nodes.models.simulated_network`). :func:`run` accepts any network.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.content import Manifest, an_image
from harness.nodes.models.containerd.failures import Hangs, RequestFailed
from harness.nodes.models.containerd.plan import ContainerdPull, Plan, PullError, PullRefused
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.containerd.pulling import Fetching, Resolving
from harness.nodes.models.containerd.pushing import Pushing
from harness.nodes.models.containerd.session import Session
from harness.nodes.models.network import Attempt, Network
from harness.nodes.models.simulated_network import HostBehaviour, SimulatedNetwork

__all__ = ["run", "simulate"]


def simulate(
    plan: Plan,
    behaviours: Mapping[str, HostBehaviour] | None = None,
    *,
    image: Manifest | None = None,
) -> ContainerdPull:
    """The pull (or push) of *plan* with these *behaviours*.

    Keys of *behaviours* are hosts as URLs name them, with or without port. Every other host is
    healthy. All hosts have *image*, a small one by default.
    """
    image = image or an_image(layers=1)
    return run(plan, SimulatedNetwork(behaviours or {}, image), image)


def run(plan: Plan, network: Network, image: Manifest | None = None) -> ContainerdPull:
    """The pull of *plan* over *network*; *image* is the image of a push."""
    record: list[Attempt] = []
    errors: tuple[PullError, ...] = ()
    try:
        _run(plan, network, image, record)
    except PullRefused as refused:
        errors = (_refused(plan, refused),)
    except RequestFailed as failed:
        errors = tuple(_error(plan, each) for each in (failed, *failed.others))
    except Hangs as hangs:
        code = None if isinstance(plan.puller, Ctr) else "DEADLINE_EXCEEDED"
        text = f"{_pulling(plan)}context deadline exceeded"
        errors = (PullError(text, code, hangs.failed.host),)
    return ContainerdPull(
        plan=plan,
        attempts=tuple(record),
        error=errors[0] if errors else None,
        possible_errors=errors,
    )


def _run(plan: Plan, network: Network, image: Manifest | None, record: list[Attempt]) -> None:
    if plan.refusal is not None:
        raise plan.refusal
    command = plan.puller.command if isinstance(plan.puller, Ctr) else "pull"
    if command == "push":
        if image is None:
            raise ValueError("a push needs an image")
        Pushing(Session(plan, network, record, "push")).run(image)
        return
    try:
        root = Resolving(Session(plan, network, record, "resolve")).run()
    except RequestFailed as failed:
        if command == "fetch-object":
            raise
        raise failed.within(_resolving(plan)) from None
    fetching = Fetching(Session(plan, network, record, "fetch"))
    if command == "fetch-object":
        fetching.fetch_only(root)
    else:
        fetching.run(root)


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


def _refused(plan: Plan, refused: PullRefused) -> PullError:
    is_ctr = isinstance(plan.puller, Ctr)
    prefix = "ctr: " if is_ctr else ""
    if refused.while_resolving:
        prefix = f"{_pulling(plan)}{_as_grpc(plan, refused.code)}{_resolving(plan)}"
    return PullError(prefix + refused.message, None if is_ctr else refused.code)


def _error(plan: Plan, failed: RequestFailed) -> PullError:
    code = failed.code or ("NOT_FOUND" if failed.not_found else "UNKNOWN")
    doing = "" if failed.stands_alone else _pulling(plan) + _as_grpc(plan, code)
    message = doing + failed.text
    if isinstance(plan.puller, Ctr):
        return PullError(message, None, failed.host, failed.status)
    if code != "UNKNOWN" and plan.release.mangles_percent:
        message = message.replace("%3A", "%!A(MISSING)")
    return PullError(message, code, failed.host, failed.status)
