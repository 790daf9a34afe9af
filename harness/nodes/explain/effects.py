"""What a pull does when one host fails: simulated with the model of the client.

The three kinds of client (containerd, dockerd, containers/image) share everything here: each gives
a function that simulates its pull for given host behaviours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from harness.content import Manifest, an_image, an_index
from harness.nodes.explain.explanation import Effect, IfAllFail, Round
from harness.nodes.explain.requests import explained_requests
from harness.nodes.explain.when import behaviour
from harness.nodes.models.attempts import Attempt, ClientRun, Login
from harness.nodes.models.behaviours import HostBehaviour
from harness.nodes.models.files import FileLine

__all__ = ["Simulate", "effects", "errors_if_all_fail", "explained_round", "sample_image"]

Simulate = Callable[[Mapping[str, HostBehaviour]], ClientRun]
"""The pull for these behaviours, by host; all other hosts are healthy."""


def sample_image(layers: int = 1) -> Manifest:
    """The image that explanations pull: an index with one image of *layers* layers."""
    return an_index(an_image(layers=layers, layer_size=2048))


def effects(
    failures: Iterable[str],
    host: str,
    login: Login,
    simulate: Simulate,
    *,
    others: Mapping[str, HostBehaviour] | None = None,
    with_another_layer: Simulate | None = None,
) -> tuple[Effect, ...]:
    """What happens if *host* behaves like each of *failures*; those that change nothing are left
    out. *others* is how other hosts behave, *with_another_layer* the pull of an image with one more
    layer, which shows what each layer costs."""
    others = others or {}
    healthy = _trace(simulate(others))
    found = []
    for name in failures:
        assumed = {**others, host: behaviour(name, host, login)}
        run = simulate(assumed)
        if _trace(run) != healthy:
            longer = run if with_another_layer is None else with_another_layer(assumed)
            found.append(_effect(name, host, run, longer))
    return tuple(found)


def _trace(run: ClientRun) -> object:
    return [(a.scheme, a.host, a.path, a.status, a.failure, a.cut) for a in run.attempts]


def _effect(name: str, host: str, run: ClientRun, longer: ClientRun) -> Effect:
    endless = run.seconds_lost == float("inf")
    if endless:
        then = "waits forever"
    elif run.error is not None:
        then = "pull fails"
    elif any(a.host != host and a.status == 200 for a in run.attempts):
        then = "next host"
    else:
        then = "same host"
    return Effect(
        behaviour=name,
        then=then,
        requests=sum(attempt.host == host for attempt in run.attempts),
        seconds=None if endless else run.seconds_lost,
        per_object=None if endless else longer.seconds_lost - run.seconds_lost,
    )


def errors_if_all_fail(
    failures: Iterable[str], logins: Mapping[str, Login], simulate: Simulate
) -> tuple[IfAllFail, ...]:
    """The error that the user sees if every host fails the same way. *logins* has every host."""
    runs = {
        name: simulate({host: behaviour(name, host, login) for host, login in logins.items()})
        for name in failures
    }
    return tuple(
        IfAllFail(name, run.message) for name, run in runs.items() if run.message is not None
    )


def explained_round(
    title: str,
    run: ClientRun,
    image: Manifest,
    place_of: Callable[[Attempt], FileLine | None],
    origin_of: Callable[[Attempt], str],
) -> Round:
    """*run* in words. *place_of* gives the line that names a request's host, *origin_of* says where
    its credential comes from."""
    seconds = run.seconds_lost
    return Round(
        title=title,
        requests=explained_requests(run.attempts, image, place_of, origin_of),
        error=run.message,
        code=getattr(run.error, "code", None),
        seconds=None if seconds == float("inf") else seconds,
    )
