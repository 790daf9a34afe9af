"""containerd's pull explained: from files and secrets to an Explanation. Contacts nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from harness.nodes.explain.diagnostics import diagnostics, not_contacted
from harness.nodes.explain.effects import (
    effects,
    errors_if_all_fail,
    explained_round,
    sample_image,
)
from harness.nodes.explain.explanation import (
    BadInput,
    Effect,
    Explanation,
    HostExplained,
    Round,
    SecretExplained,
)
from harness.nodes.explain.files import ContainerdQuestion
from harness.nodes.explain.when import behaviours
from harness.nodes.models.containerd.execution import simulate
from harness.nodes.models.containerd.hosts_toml import Capability
from harness.nodes.models.containerd.plan import Plan, PlannedHost
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import (
    AuthConfig,
    CredentialError,
    Cri,
    Ctr,
)
from harness.nodes.models.files import FileLine
from harness.nodes.models.go_url import port_of
from harness.nodes.models.kubelet import KeyringEntry, matching_entries
from harness.nodes.models.network import ANONYMOUS, Attempt, Login
from harness.nodes.models.reference import InvalidReference, Reference, normalised_reference
from harness.nodes.models.simulated_network import HostBehaviour

_FAILURES = (
    *("down", "unreachable", "tls", "tls-hang", "hang"),
    *("401", "404", "429", "500", "html", "truncate"),
)
"""The behaviours of ``--when`` that are simulated for each host."""
_ALL_FAIL = ("down", "unreachable", "404", "401", "429")
_MOST_EXPLAINED = 300
"""Hosts whose failures are simulated."""
_IMAGE, _WITH_ANOTHER_LAYER = sample_image(1), sample_image(2)


def login_of(host: PlannedHost) -> Login:
    """The login that *host* would get if it sent a challenge."""
    try:
        return host.client.login_for(host.name)
    except CredentialError:
        return ANONYMOUS


def _logins(question: ContainerdQuestion) -> tuple[KeyringEntry, ...]:
    """The logins in the order kubelet tries them: the pod's, then the node's."""
    if question.ctr is not None:
        return ()
    try:
        repository = _named(normalised_reference(question.image))
    except InvalidReference as error:
        raise BadInput.image(question.image, error) from None
    entries = matching_entries(question.of_pod, repository)
    return (*entries, *matching_entries(question.of_node, repository))


def _plan(question: ContainerdQuestion, login: KeyringEntry | None) -> Plan:
    auth = None if login is None else AuthConfig(username=login.username, password=login.password)
    return resolve_plan(
        question.image,
        release=question.release,
        config_toml=question.files.config_toml,
        config_file=question.files.config_file,
        puller=question.ctr or Cri(auth),
        files=question.files.files,
    )


def first_plan(question: ContainerdQuestion) -> Plan:
    """The plan of the first pull. Raises :class:`BadInput` for an invalid image name."""
    return _plan(question, next(iter(_logins(question)), None))


def explain_containerd(
    question: ContainerdQuestion, seen: Mapping[str, HostBehaviour] | None = None
) -> Explanation:
    """The explanation. *seen* is how probed hosts behave; ``question.when`` overrides it.

    Raises :class:`BadInput` for an invalid image name and for a ``when`` with an unknown host.
    """
    logins = _logins(question)
    plan = _plan(question, logins[0] if logins else None)
    if plan.refusal is not None and not plan.reference.namespace:
        raise BadInput.image(question.image, plan.refusal.message)
    without_effect = not_contacted(question, plan)
    when = [one for one in question.when if one.rpartition("=")[0] not in without_effect]
    host_logins = {host.name: login_of(host) for host in plan.hosts}
    assumed, words = behaviours(when, host_logins)
    known: dict[object, tuple[Effect, ...]] = {}
    contacted = {host.name for host in plan.hosts}

    return Explanation(
        image=str(plan.reference),
        puller="cri" if question.ctr is None else "ctr",
        client=_client(plan),
        read=tuple(question.files.read),
        directory=None if plan.directory is None else question.files.shown(plan.directory),
        looked_for=tuple(map(question.files.shown, plan.looked_for)),
        assumed=words,
        remarks=(
            *question.notes,
            *diagnostics(question, plan, logins),
            *without_effect.values(),
        ),
        hosts=tuple(
            _host(question, plan, position, known, logins) for position in range(len(plan.hosts))
        ),
        secrets=_secrets(plan.reference, (*question.of_pod, *question.of_node), logins, contacted)
        if question.ctr is None
        else (),
        rounds=_rounds(question, plan, logins, {**(seen or {}), **assumed}),
        if_all_fail=()
        if plan.refusal is not None
        else errors_if_all_fail(_ALL_FAIL, host_logins, partial(simulate, plan, image=_IMAGE)),
    )


def _client(plan: Plan) -> str:
    if isinstance(plan.puller, Ctr):
        return f"ctr images pull, containerd {plan.release.version}"
    how = "the transfer service" if plan.transfer else "the CRI plugin's own puller"
    after_2_1 = f", with {how}" if plan.release.transfer_service else ""
    return f"kubelet or crictl, containerd {plan.release.version}{after_2_1}"


# -- pull secrets ------------------------------------------------------------------------------
def _named(reference: Reference) -> str:
    return f"{reference.namespace}/{reference.repository}"


def _secrets(
    reference: Reference,
    entries: Sequence[KeyringEntry],
    logins: Sequence[KeyringEntry],
    contacted: Collection[str],
) -> tuple[SecretExplained, ...]:
    """Each of *entries* with the reason why kubelet uses it or not; *contacted* are the hosts."""
    used = list(logins)
    return tuple(
        SecretExplained(
            secret=entry.secret or "",
            key=entry.key,
            user=entry.username,
            used=entry in used,
            why=_why_used(reference, used.index(entry), len(used))
            if entry in used
            else _why_not(reference, entry.key, contacted),
        )
        for entry in entries
    )


def _why_used(reference: Reference, position: int, count: int) -> str:
    order = f", tried {position + 1} of {count}" if count > 1 else ""
    return (
        f"its key matches the image name {_named(reference)}{order}; "
        "kubelet sends it without an address, so any host that sends a challenge gets it"
    )


def _why_not(reference: Reference, key: str, contacted: Collection[str]) -> str:
    host = re.sub("^https?://", "", key).partition("/")[0]
    own = _named(reference)
    if host in contacted and host != reference.namespace:
        return (
            f"its key names {host}, which is contacted, but kubelet compares keys with the image "
            f"name {own}: change the key to {reference.namespace}"
        )
    name, _, port = reference.namespace.partition(":")
    if port and host == name:
        return f"its key lacks the port: change it to {reference.namespace}"
    if reference.namespace == "docker.io" and host == "registry-1.docker.io":
        return "the key for Docker Hub is docker.io or https://index.docker.io/v1/"
    if host == reference.namespace:
        return f"its path is not a prefix of the image name {own}, or another key is preferred"
    return f"its key names another registry than the image name {own}"


# -- rounds -------------------------------------------------------------------------------------
def _rounds(
    question: ContainerdQuestion,
    plan: Plan,
    logins: Sequence[KeyringEntry],
    assumed: Mapping[str, HostBehaviour],
) -> tuple[Round, ...]:
    """The pulls until one succeeds: one for each login, or one without credentials."""
    found: list[Round] = []
    for number, login in enumerate(logins or (None,), 1):
        one = plan if login is None else _plan(question, login)
        origin = partial(_origin, login, {host.name: host for host in reversed(one.hosts)})
        places = {host.name: _place(question, host) for host in reversed(one.hosts)}
        of = f" {number} of {len(logins)}" if len(logins) > 1 else ""
        title = "PullImage without credentials"
        if login is not None:
            title = f"PullImage{of} with the login of {login.origin}"
        elif question.ctr is not None:
            title = "ctr images pull"
        run = simulate(one, assumed, image=_IMAGE)
        found.append(explained_round(title, run, _IMAGE, places, origin))
        if run.error is None:
            break
    return tuple(found)


def _origin(login: KeyringEntry | None, hosts: Mapping[str, PlannedHost], attempt: Attempt) -> str:
    """Where the credential of *attempt* comes from."""
    if login is not None:
        return login.origin
    if attempt.host in hosts:
        return login_of(hosts[attempt.host]).origin
    return "the login of the host that named this realm" if attempt.step == "token" else ""


def _place(question: ContainerdQuestion, host: PlannedHost) -> FileLine | None:
    source = host.source
    return None if source is None else question.files.place_of(source.file, source.line)


# -- hosts --------------------------------------------------------------------------------------
def _host(
    question: ContainerdQuestion,
    plan: Plan,
    position: int,
    known: dict[object, tuple[Effect, ...]],
    logins: Sequence[KeyringEntry],
) -> HostExplained:
    host = plan.hosts[position]
    return HostExplained(
        number=position + 1,
        name=host.name,
        url=host.url,
        because=host.because,
        place=_place(question, host),
        namespace=host.namespace_for(plan.reference.namespace),
        resolves=host.may(*plan.wanted),
        why=_why(plan, host),
        scheme=_scheme(host),
        tls=_tls(question, host),
        credential=_credential(host, logins),
        headers=tuple({**plan.headers, **host.headers}),
        effects=host_effects(plan, position, known) if position < _MOST_EXPLAINED else (),
    )


def _why(plan: Plan, host: PlannedHost) -> str:
    what = "digests" if plan.reference.digest else "tags"
    missing = [str(capability) for capability in plan.wanted if not host.may(capability)]
    if missing:
        return (
            f"does not resolve {what}, as its capabilities lack {' and '.join(missing)}; still "
            "asked for content, where containerd ignores capabilities"
        )
    if not host.may(Capability.PULL):
        return "asked for content although its capabilities lack pull"
    return f"resolves {what} and serves content"


def _scheme(host: PlannedHost) -> str:
    if host.scheme == "http":
        return "plain HTTP"
    if host.client.falls_back:
        return "https first, plain HTTP if the host does not speak TLS"
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
        checked += f"; client certificate {question.files.shown(trust.client_certificate)}"
    return checked


def _credential(host: PlannedHost, logins: Sequence[KeyringEntry]) -> str:
    if any(name.lower() == "authorization" for name in host.headers):
        return "the Authorization header of its `header` table, sent with every request"
    login = login_of(host)
    if not login.secret:
        empty = " (the user has no password)" if login.user else ""
        return f"none{empty}; after a 401 only an anonymous token is requested"
    origin = logins[0].origin if logins else login.origin
    more = f", then {len(logins) - 1} more, each in its own pull" if len(logins) > 1 else ""
    who = login.user or "an identity token"
    return f"sent after a 401 (to the host, or to its token server): {who}, from {origin}{more}"


# -- failures -----------------------------------------------------------------------------------
def host_effects(
    plan: Plan, position: int, known: dict[object, tuple[Effect, ...]]
) -> tuple[Effect, ...]:
    """The effects of failures of the host at *position*, counted from 0.

    Each failure is simulated with the host first and then the first later host that may resolve,
    which is healthy. Hosts that differ only in their names share the result, which *known* keeps,
    so that hundreds of similar hosts cost little.
    """
    host, later = plan.hosts[position], plan.hosts[position + 1 :]
    rest = later[:1]
    if rest and not rest[0].may(*plan.wanted):
        rest += tuple(h for h in later[1:] if h.may(*plan.wanted))[:1]
    kind = (_kind(host), *((_kind(one), one.name == host.name) for one in rest))
    if kind not in known:
        short = replace(plan, hosts=(host, *rest), unordered=0, fetch_order=None)
        known[kind] = effects(
            _FAILURES,
            host.name,
            login_of(host),
            partial(simulate, short, image=_IMAGE),
            with_another_layer=partial(simulate, short, image=_WITH_ANOTHER_LAYER),
        )
    return known[kind]


def _kind(host: PlannedHost) -> object:
    """Everything about *host* that decides what its failures do."""
    login, client = login_of(host), host.client
    return (
        host.scheme,
        port_of(host.name) == "",
        host.capabilities,
        (client.falls_back, client.dial_timeout, client.trust),
        (bool(login.user), bool(login.secret)),
    )
