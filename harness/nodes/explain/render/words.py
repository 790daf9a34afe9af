"""Phrases that all forms share."""

from __future__ import annotations

from harness.nodes.explain.explanation import Effect, Explanation, Round

__all__ = ["assumption", "effect_words", "outcome", "seconds"]


def seconds(value: float | None) -> str:
    """A waiting time in words."""
    if value is None:
        return "without end"
    return f"{value:.1f} s" if value % 1 else f"{value:.0f} s"


def effect_words(effect: Effect) -> str:
    """What happens, in one line."""
    tries = f"{effect.requests} {'try' if effect.requests == 1 else 'tries'} in all"
    if effect.seconds is None:
        return f"{effect.then}; only the caller's deadline ends it ({tries})"
    if effect.seconds == 0:
        return f"{effect.then} ({tries})"
    more = f", {seconds(effect.per_object)} more for each further layer"
    return f"{effect.then} ({tries}), costs {seconds(effect.seconds)}" + (
        more if effect.per_object else ""
    )


def outcome(one: Round) -> str:
    """How a round ends, in one line; the error follows elsewhere."""
    lost = "" if one.seconds == 0 else f" after waiting {seconds(one.seconds)} in vain"
    return f"the pull {'succeeds' if one.error is None else 'ends in an error'}{lost}"


def assumption(explanation: Explanation) -> str:
    """What the requests take for granted."""
    rest = "all others are" if explanation.assumed else "all hosts are"
    if any(host.probed for host in explanation.hosts):
        return f"{rest} as the probe found them"
    return f"{rest} healthy, ask for no credentials and have the image: an index, one layer"
