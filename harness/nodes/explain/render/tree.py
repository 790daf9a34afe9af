"""A tree for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from harness.nodes.explain.explanation import Explanation, HostExplained, Place, Round, printable
from harness.nodes.explain.render.words import assumption, effect_words, outcome, seconds

__all__ = ["print_tree"]

_MOST_HOSTS = 20
"""Hosts shown in full; the rest is named, and in the JSON."""
_MOST_REQUESTS = 60


def print_tree(explanation: Explanation, console: Console) -> None:
    """Write *explanation* to *console*."""
    root = Tree(_text((explanation.image, "bold")), guide_style="dim")
    root.add(_text(("pulled by ", ""), (explanation.client, "bold")))
    _files(root, explanation)
    _remarks(root, explanation)
    _secrets(root, explanation)
    _hosts(root, explanation)
    for one in explanation.rounds:
        _round(root, explanation, one)
    _if_all_fail(root, explanation)
    error = explanation.error
    verdict = (
        ("the pull ends in an error", "bold red") if error else ("the pull succeeds", "bold green")
    )
    root.add(_text(verdict, (", as far as is known", "")))
    console.print(root)


def _text(*parts: tuple[str, str]) -> Text:
    text = Text(overflow="fold")
    for words, style in parts:
        text.append(printable(words, lines=True), style)
    return text


def _at(place: Place | None) -> tuple[str, str]:
    return ("", "") if place is None else (f"  {place}", "cyan")


def _files(root: Tree, explanation: Explanation) -> None:
    branch = root.add(_text(("files read", "bold"), ("" if explanation.read else ": none", "")))
    for name in explanation.read:
        branch.add(_text((name, "cyan")))
    if explanation.looked_for:
        found = explanation.directory or "none of them exists"
        names = ", ".join(explanation.looked_for)
        branch.add(_text((f"directories looked for: {names}; used: {found}", "")))


def _remarks(root: Tree, explanation: Explanation) -> None:
    for remark in sorted(explanation.remarks, key=lambda one: not one.is_warning):
        head = ("warning: ", "bold yellow") if remark.is_warning else ("note: ", "bold")
        root.add(_text(head, (remark.text, ""), _at(remark.place)))


def _secrets(root: Tree, explanation: Explanation) -> None:
    if not explanation.secrets:
        return
    branch = root.add(_text(("pull secrets", "bold")))
    for one in explanation.secrets:
        used = ("used", "green") if one.used else ("not used", "yellow")
        leaf = branch.add(_text((f"{one.secret}, key {one.key!r}, user {one.user}: ", ""), used))
        leaf.add(_text((one.why, "")))


def _hosts(root: Tree, explanation: Explanation) -> None:
    if not explanation.hosts:
        return
    branch = root.add(_text(("hosts, in the order in which every object is asked for", "bold")))
    shown = explanation.hosts
    if len(shown) > _MOST_HOSTS + 1:
        shown = (*shown[: _MOST_HOSTS - 1], shown[-1])
    for host in shown:
        if host is shown[-1] and len(shown) < len(explanation.hosts):
            left = len(explanation.hosts) - len(shown)
            branch.add(_text((f"... {left} hosts more, see --format json", "dim")))
        _host(branch, host)


def _host(branch: Tree, host: HostExplained) -> None:
    leaf = branch.add(_text((f"{host.number} ", ""), (host.url, "bold"), _at(host.place)))
    leaf.add(_text((f"{host.because}: {host.why}", "")))
    tls = f"; {host.tls}" if host.tls else ""
    leaf.add(_text((f"{host.scheme}{tls}", "")))
    if host.namespace is not None:
        leaf.add(_text((f"requests carry ns={host.namespace}", "")))
    leaf.add(_text(("credentials: ", ""), (host.credential, "")))
    if host.headers:
        leaf.add(_text((f"headers sent unasked: {', '.join(host.headers)}", "")))
    if host.probed is not None:
        good = host.probed.reached
        leaf.add(_text(("probe: ", "bold"), (host.probed.said, "green" if good else "red")))
    if host.effects:
        failures = leaf.add(_text(("if it fails, and the hosts after it are healthy", "")))
        for words, names in _grouped(host):
            failures.add(_text((f"{', '.join(names)}: ", "magenta"), (words, "")))


def _grouped(host: HostExplained) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for effect in host.effects:
        groups.setdefault(effect_words(effect), []).append(effect.behaviour)
    return list(groups.items())


def _round(root: Tree, explanation: Explanation, one: Round) -> None:
    branch = root.add(_text((one.title, "bold")))
    for words in explanation.assumed:
        branch.add(_text((f"assumed: {words}", "")))
    branch.add(_text((f"assumed: {assumption(explanation)}", "dim")))
    for request in one.requests[:_MOST_REQUESTS]:
        style = "green" if request.answered and request.result.startswith("2") else "red"
        lost = "" if request.seconds == 0 else f", {seconds(request.seconds)} lost"
        at_once = " (at once with its neighbours)" if request.at_once else ""
        leaf = branch.add(
            _text(
                (f"{request.number} {request.step:8} ", "bold"),
                (f"{request.method} {request.url}", ""),
                (f"  {request.result}", style),
                (f"{lost}{at_once}", ""),
                _at(request.place),
            )
        )
        why = [] if request.because.startswith("the first host") else [request.because]
        if request.credential != "none":
            why.append(f"credentials: {request.credential}")
        if why:
            leaf.add(_text(("; ".join(why), "dim")))
    if len(one.requests) > _MOST_REQUESTS:
        left = len(one.requests) - _MOST_REQUESTS
        branch.add(_text((f"... {left} requests more, see --format json", "dim")))
    end = branch.add(_text((outcome(one), "bold green" if one.error is None else "bold red")))
    if one.error is not None:
        end.add(_text((one.error, "red")))


def _if_all_fail(root: Tree, explanation: Explanation) -> None:
    if not explanation.if_all_fail:
        return
    branch = root.add(_text(("the error that is shown if every host is", "bold")))
    for one in explanation.if_all_fail:
        branch.add(_text((f"{one.behaviour}: ", "magenta"), (one.error, "")))
