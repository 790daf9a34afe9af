"""containerd's pull explained: from files and secrets to an Explanation. Contacts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.content import Manifest, an_image, an_index
from harness.nodes.explain.effects import EffectFinder, if_all_fail, login_of
from harness.nodes.explain.explanation import (
    BadInput,
    Explanation,
    HostExplained,
    Place,
    Remark,
    Round,
)
from harness.nodes.explain.remarks import never_asked, remarks
from harness.nodes.explain.requests import explained_requests
from harness.nodes.explain.secrets import Login as SecretLogin
from harness.nodes.explain.secrets import chosen, explained
from harness.nodes.explain.when import behaviours
from harness.nodes.models.attempts import Attempt
from harness.nodes.models.behaviours import HostBehaviour
from harness.nodes.models.containerd.config_files import CONFIG_FILE
from harness.nodes.models.containerd.execution import simulate
from harness.nodes.models.containerd.hosts_toml import Capability
from harness.nodes.models.containerd.plan import Plan, PlannedHost, Source
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import AuthConfig, Cri, Ctr, Puller
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.kubelet import KeyringEntry
from harness.nodes.models.reference import InvalidReference, normalised_reference

__all__ = ["ContainerdQuestion", "explain_containerd", "first_plan"]

_MOST_EXPLAINED = 300
"""Hosts whose failures are looked into."""


@dataclass(frozen=True, kw_only=True)
class ContainerdQuestion:
    """What is asked: an image and everything that decides how it is pulled."""

    image: str
    release: Release
    config_toml: str | None
    files: Mapping[str, str]
    """hosts.toml, certificates and what config.toml imports, by absolute path."""
    siblings: Mapping[str, str]
    """hosts.toml of directories that are not looked up for the image, by path as shown."""
    read: tuple[str, ...]
    shown: Callable[[str], str]
    """The real name of a file that the model knows by another."""
    config_file: str = CONFIG_FILE
    unread_directory: str | None = None
    ctr: Ctr | None = None
    """None for the CRI plugin."""
    of_pod: Sequence[KeyringEntry] = ()
    of_node: Sequence[KeyringEntry] = ()
    when: Sequence[str] = ()
    notes: tuple[Remark, ...] = ()


def _puller(question: ContainerdQuestion, login: SecretLogin | None) -> Puller:
    if question.ctr is not None:
        return question.ctr
    if login is None:
        return Cri()
    entry = login.entry
    return Cri(AuthConfig(username=entry.username, password=entry.password))


def _logins(question: ContainerdQuestion) -> tuple[SecretLogin, ...]:
    if question.ctr is not None:
        return ()
    try:
        reference = normalised_reference(question.image)
    except InvalidReference as error:
        raise BadInput(f"{question.image[:200]!r} names no image: {error}") from None
    return chosen(reference, question.of_pod, question.of_node)


def plan_of(question: ContainerdQuestion, login: SecretLogin | None = None) -> Plan:
    """The plan of the pull, with *login* in the request."""
    return resolve_plan(
        question.image,
        release=question.release,
        config_toml=question.config_toml,
        config_file=question.config_file,
        puller=_puller(question, login),
        files=question.files,
    )


def first_plan(question: ContainerdQuestion) -> Plan:
    """The plan of the first pull that is tried. Raises :class:`BadInput` for no image."""
    return plan_of(question, next(iter(_logins(question)), None))


def explain_containerd(
    question: ContainerdQuestion, seen: Mapping[str, HostBehaviour] | None = None
) -> Explanation:
    """The answer. *seen* is how probed hosts behave; ``when`` counts more.

    Raises :class:`BadInput` for what is no image and for a ``when`` that names no host.
    """
    logins = _logins(question)
    plan = plan_of(question, logins[0] if logins else None)
    if plan.refusal is not None and not plan.reference.namespace:
        raise BadInput(f"{question.image[:200]!r} names no image: {plan.refusal.message}")
    not_asked = never_asked(question, plan)
    when = [one for one in question.when if one.rpartition("=")[0] not in not_asked]
    told, words = behaviours(when, {host.name: login_of(host) for host in plan.hosts})
    images = (_image(1), _image(2))
    finder = EffectFinder(plan, images)
    entries = (*question.of_pod, *question.of_node)
    contacted = {host.name for host in plan.hosts}
    return Explanation(
        image=str(plan.reference),
        puller="cri" if question.ctr is None else "ctr",
        client=_client(plan),
        read=question.read,
        directory=None if plan.directory is None else question.shown(plan.directory),
        looked_for=tuple(map(question.shown, plan.looked_for)),
        assumed=words,
        remarks=(*question.notes, *remarks(question, plan, logins), *not_asked.values()),
        hosts=tuple(
            _host(question, plan, position, finder, logins) for position in range(len(plan.hosts))
        ),
        secrets=explained(plan.reference, entries, logins, contacted)
        if question.ctr is None
        else (),
        rounds=_rounds(question, plan, logins, {**(seen or {}), **told}, images[0]),
        if_all_fail=() if plan.refusal is not None else if_all_fail(plan, images[0]),
    )


def _image(layers: int) -> Manifest:
    return an_index(an_image(layers=layers, layer_size=2048))


def _client(plan: Plan) -> str:
    if isinstance(plan.puller, Ctr):
        return f"ctr images pull, containerd {plan.release.version}"
    how = "the transfer service" if plan.transfer else "the CRI plugin's own puller"
    after_2_1 = f", by {how}" if plan.release.transfer_service else ""
    return f"kubelet or crictl, containerd {plan.release.version}{after_2_1}"


# -- rounds -------------------------------------------------------------------------------------
def _rounds(
    question: ContainerdQuestion,
    plan: Plan,
    logins: Sequence[SecretLogin],
    told: Mapping[str, HostBehaviour],
    image: Manifest,
) -> tuple[Round, ...]:
    """The pulls until one succeeds: one for each login, or one without any."""
    found: list[Round] = []
    for number, login in enumerate(logins or (None,), 1):
        one = plan if login is None else plan_of(question, login)
        pull = simulate(one, told, image=image)

        def origin(attempt: Attempt, plan: Plan = one, login: SecretLogin | None = login) -> str:
            return _origin(plan, attempt, login)

        title = _title(plan, login, number, len(logins))
        error = pull.error
        seconds = pull.seconds_lost
        found.append(
            Round(
                title=title,
                requests=explained_requests(
                    pull.attempts, image, lambda a: _place_of(question, plan, a), origin
                ),
                error=None if error is None else error.message,
                code=None if error is None else error.code,
                seconds=None if seconds == float("inf") else seconds,
            )
        )
        if error is None:
            break
    return tuple(found)


def _title(plan: Plan, login: SecretLogin | None, number: int, count: int) -> str:
    if isinstance(plan.puller, Ctr):
        return "ctr images pull"
    if login is None:
        return "PullImage without credentials"
    of = f" {number} of {count}" if count > 1 else ""
    return f"PullImage{of} with the login of {login.origin}"


def _origin(plan: Plan, attempt: Attempt, login: SecretLogin | None) -> str:
    if login is not None:
        return login.origin
    for host in plan.hosts:
        if host.name == attempt.host:
            return login_of(host).origin
    return "the login of the host that named this realm" if attempt.step == "token" else ""


def _place_of(question: ContainerdQuestion, plan: Plan, attempt: Attempt) -> Place | None:
    for host in plan.hosts:
        if host.name == attempt.host:
            return _place(question, host)
    return None


def _place(question: ContainerdQuestion, host: PlannedHost) -> Place | None:
    source: Source | None = host.source
    return None if source is None else Place(question.shown(source.file), source.line)


# -- hosts --------------------------------------------------------------------------------------
def _host(
    question: ContainerdQuestion,
    plan: Plan,
    position: int,
    finder: EffectFinder,
    logins: Sequence[SecretLogin],
) -> HostExplained:
    host = plan.hosts[position]
    resolves = host.may(*plan.wanted)
    names = {**plan.headers, **host.headers}
    return HostExplained(
        number=position + 1,
        name=host.name,
        url=host.url,
        because=host.because,
        place=_place(question, host),
        namespace=host.namespace_for(plan.reference.namespace),
        resolves=resolves,
        serves=True,
        why=_why(plan, host),
        scheme=_scheme(host),
        tls=_tls(question, host),
        credential=_credential(plan, host, logins),
        headers=tuple(names),
        effects=finder.effects(position) if position < _MOST_EXPLAINED else (),
    )


def _why(plan: Plan, host: PlannedHost) -> str:
    missing = [str(capability) for capability in plan.wanted if not host.may(capability)]
    if missing:
        what = "digest" if plan.reference.digest else "tag"
        return (
            f"not asked what the {what} means: its capabilities lack {' and '.join(missing)}; "
            "asked for content all the same, since containerd does not look at capabilities there"
        )
    if not host.may(Capability.PULL):
        return "asked for content although its capabilities lack pull"
    return "asked for everything"


def _scheme(host: PlannedHost) -> str:
    if host.scheme == "http":
        return "plain HTTP"
    if host.client.falls_back:
        return "https first, and plain HTTP if the host speaks no TLS"
    return "https only"


def _tls(question: ContainerdQuestion, host: PlannedHost) -> str:
    if host.scheme == "http":
        return ""
    trust = host.client.trust
    if not trust.verify:
        checked = "certificate not checked"
    else:
        count = len(trust.authorities)
        own = f"{count} configured {'authority' if count == 1 else 'authorities'}"
        roots = "the system's authorities" if trust.system_roots else ""
        checked = "certificate checked against " + " and ".join(
            part for part in (roots, own if count else "") if part
        )
    if trust.client_certificate:
        checked += f"; shows {question.shown(trust.client_certificate)}"
    return checked


def _credential(plan: Plan, host: PlannedHost, logins: Sequence[SecretLogin]) -> str:
    if any(name.lower() == "authorization" for name in host.headers):
        return "an Authorization header from its `header` table, unasked, with every request"
    login = login_of(host)
    if not login.secret:
        empty = " (the user has no password)" if login.user else ""
        return f"none, even after a 401{empty}; a token is asked for anonymously"
    origin = logins[0].origin if logins else login.origin
    more = f", then {len(logins) - 1} more in pulls of their own" if len(logins) > 1 else ""
    who = login.user or "an identity token"
    return f"after a 401 (Basic, or Bearer by way of its realm): {who}, from {origin}{more}"
