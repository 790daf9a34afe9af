"""An explanation as a tree for the terminal, and the phrases that all forms share."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from harness.nodes.explain.explanation import (
    Effect,
    Explanation,
    HostExplained,
    Round,
    printable,
)
from harness.nodes.models.files import FileLine

_MOST_HOSTS = 20
"""Hosts shown in full; the JSON has all of them."""
_MOST_REQUESTS = 60


# -- phrases ------------------------------------------------------------------------------------
def _seconds(value: float | None) -> str:
    if value is None:
        return "an unlimited time"
    return f"{value:.1f} s" if value % 1 else f"{value:.0f} s"


_THEN = {
    "next host": "continues with the next host",
    "same host": "continues with this host",
    "pull fails": "the pull fails",
}


def effect_words(effect: Effect) -> str:
    """The effect in one line."""
    tries = f"{effect.requests} {'attempt' if effect.requests == 1 else 'attempts'}"
    words = f"{_THEN.get(effect.then, '')} ({tries})"
    if effect.seconds is None:
        return f"waits until the caller's deadline ({tries})"
    if effect.seconds == 0:
        return words
    more = f", plus {_seconds(effect.per_object)} for each further layer"
    return f"{words}, loses {_seconds(effect.seconds)}" + (more if effect.per_object else "")


def outcome(one: Round) -> str:
    """How a round ends, in one line without the error."""
    lost = "" if one.seconds == 0 else f" after waiting {_seconds(one.seconds)}"
    return f"the pull {'succeeds' if one.error is None else 'fails'}{lost}"


def assumption(explanation: Explanation) -> str:
    """How hosts behave that no ``--when`` names."""
    rest = "all other hosts" if explanation.assumed else "all hosts"
    if any(host.probed for host in explanation.hosts):
        return f"{rest} behave as the probe found"
    return f"{rest} are healthy, need no credentials and have the image (an index, one layer)"


# -- the tree -----------------------------------------------------------------------------------
def print_tree(explanation: Explanation, console: Console) -> None:
    """Write *explanation* to *console*."""
    root = Tree(_text((explanation.image, "bold")), guide_style="dim")
    root.add(_text(("client: ", ""), (explanation.client, "bold")))
    files = root.add(_text(("files read", "bold"), ("" if explanation.read else ": none", "")))
    for name in explanation.read:
        files.add(_text((name, "cyan")))
    if explanation.looked_for:
        names = ", ".join(explanation.looked_for)
        found = explanation.directory
        directory = "none exists" if found is None else f"{found} is used"
        files.add(_text((f"directories checked: {names}; {directory}", "")))
    for one in sorted(explanation.remarks, key=lambda one: not one.is_warning):
        head = ("warning: ", "bold yellow") if one.is_warning else ("note: ", "bold")
        root.add(_text(head, (one.text, ""), _at(one.place)))
    secrets = root.add(_text(("pull secrets", "bold"))) if explanation.secrets else root
    for secret in explanation.secrets:
        used = ("used", "green") if secret.used else ("not used", "yellow")
        words = f"{secret.secret}, key {secret.key!r}, user {secret.user}: "
        secrets.add(_text((words, ""), used)).add(_text((secret.why, "")))
    if explanation.hosts:
        _hosts(root, explanation.hosts)
    for each in explanation.rounds:
        _round(root, explanation, each)
    if explanation.if_all_fail:
        branch = root.add(_text(("error if every host is", "bold")))
        for fault in explanation.if_all_fail:
            branch.add(_text((f"{fault.behaviour}: ", "magenta"), (fault.error, "")))
    failed = explanation.error is not None
    verdict = ("the pull fails", "bold red") if failed else ("the pull succeeds", "bold green")
    root.add(_text(("result: ", ""), verdict))
    console.print(root)


def _text(*parts: tuple[str, str]) -> Text:
    text = Text(overflow="fold")
    for words, style in parts:
        text.append(printable(words, lines=True), style)
    return text


def _at(place: FileLine | None) -> tuple[str, str]:
    return ("", "") if place is None else (f"  {place}", "cyan")


def _hosts(root: Tree, hosts: Sequence[HostExplained]) -> None:
    branch = root.add(_text(("hosts, in the order they are tried for each object", "bold")))
    left = len(hosts) - _MOST_HOSTS if len(hosts) > _MOST_HOSTS + 1 else 0
    for host in (*hosts[: -left - 1], hosts[-1]):
        if host is hosts[-1] and left:
            branch.add(_text((f"... {left} more hosts, see --format json", "dim")))
        _host(branch, host)


def _host(branch: Tree, host: HostExplained) -> None:
    leaf = branch.add(_text((f"{host.number} ", ""), (host.url, "bold"), _at(host.place)))
    leaf.add(_text((f"{host.because}: {host.why}", "")))
    tls = f"; {host.tls}" if host.tls else ""
    leaf.add(_text((f"{host.scheme}{tls}", "")))
    if host.namespace is not None:
        leaf.add(_text((f"requests carry ns={host.namespace}", "")))
    leaf.add(_text((f"credentials: {host.credential}", "")))
    if host.headers:
        leaf.add(_text((f"extra headers: {', '.join(host.headers)}", "")))
    if host.probed is not None:
        style = "green" if host.probed.reached else "red"
        leaf.add(_text(("probe: ", "bold"), (host.probed.said, style)))
    if host.effects:
        failures = leaf.add(_text(("if this host fails and the hosts after it are healthy", "")))
        groups: dict[str, list[str]] = {}
        for effect in host.effects:
            groups.setdefault(effect_words(effect), []).append(effect.behaviour)
        for words, names in groups.items():
            failures.add(_text((f"{', '.join(names)}: ", "magenta"), (words, "")))


def _round(root: Tree, explanation: Explanation, one: Round) -> None:
    branch = root.add(_text((one.title, "bold")))
    for words in explanation.assumed:
        branch.add(_text((f"assumed: {words}", "")))
    branch.add(_text((f"assumed: {assumption(explanation)}", "dim")))
    for request in one.requests[:_MOST_REQUESTS]:
        style = "green" if request.answered and request.result.startswith("2") else "red"
        lost = "" if request.seconds == 0 else f", loses {_seconds(request.seconds)}"
        at_once = " (concurrent)" if request.at_once else ""
        leaf = branch.add(
            _text(
                (f"{request.number} {request.step:8} ", "bold"),
                (f"{request.method} {request.url}", ""),
                (f"  {request.result}", style),
                (f"{lost}{at_once}", ""),
                _at(request.place),
            )
        )
        why = [] if request.because.startswith("first host") else [request.because]
        if request.credential != "none" and not request.because.startswith("retry after 401"):
            why.append(f"sends {request.credential}")
        if why:
            leaf.add(_text(("; ".join(why), "dim")))
    if len(one.requests) > _MOST_REQUESTS:
        left = len(one.requests) - _MOST_REQUESTS
        branch.add(_text((f"... {left} more requests, see --format json", "dim")))
    end = branch.add(_text((outcome(one), "bold green" if one.error is None else "bold red")))
    if one.error is not None:
        end.add(_text((one.error, "red")))
