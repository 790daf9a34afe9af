"""Measured cases: reads them, fills in a world, and compares the model with the measurement.

The file's ``about`` describes its format.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.nodes.models.containerd.execution import run
from harness.nodes.models.containerd.plan import ContainerdPull, Plan, PullError
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import AuthConfig, Cri, Ctr, Puller
from harness.nodes.models.network import Attempt, Failure, SentCredential
from harness.nodes.models.simulated_network import (
    UNRESOLVABLE,
    HostBehaviour,
    RegistryContent,
    SimulatedNetwork,
)
from tests.unit.models.worlds import Stand, World, behaviour_from


@dataclass(frozen=True)
class Case:
    """One measured case."""

    document: Mapping[str, Any] = field(repr=False)
    id: str

    @property
    def group(self) -> str:
        """The first letter of its id."""
        return self.id[0]

    @property
    def releases(self) -> tuple[str, ...]:
        """The releases it was measured on."""
        return tuple(self.document["expect"])

    @property
    def world(self) -> World:
        """The world it was measured in."""
        return _world(self.document.get("imagekind", "image"))


@cache
def _world(image_kind: str) -> World:
    return World(image_kind=image_kind)


@cache
def read_cases(file: Path) -> tuple[Case, ...]:
    """The cases in *file*."""
    return tuple(
        Case(document, document["id"]) for document in json.loads(file.read_text())["cases"]
    )


# -- filling in a case -----------------------------------------------------------------------------
def plan_of(case: Case, release: str, world: World) -> Plan:
    """What *release* plans to do in *case*."""
    document = world.fill(case.document)
    return resolve_plan(
        document["image"],
        release=release,
        puller=_puller(document, world.stand),
        config_toml=config_toml_of(case, world),
        files=world.stand.files() | files_of(case, world),
    )


def pulls(case: Case, release: str, world: World) -> Iterator[ContainerdPull]:
    """The pull according to the model: one, or one for each possible random order of hosts."""
    plan = plan_of(case, release, world)
    orders = list(itertools.permutations(range(plan.unordered)))
    for resolve, fetch in itertools.product(orders, orders):
        drawn = _reordered(plan, resolve, fetch) if plan.unordered else plan
        yield run(drawn, network_of(case, world), world.image)


def _reordered(plan: Plan, resolve: tuple[int, ...], fetch: tuple[int, ...]) -> Plan:
    """*plan* with the hosts in random order in these orders (permutations of indices)."""
    rest = plan.hosts[plan.unordered :]
    orders = [(*(plan.hosts[i] for i in order), *rest) for order in (resolve, fetch)]
    return replace(plan, hosts=orders[0], fetch_order=orders[1])


def _puller(document: Mapping[str, Any], stand: Stand) -> Puller:
    client = document["client"]
    if client == "cri":
        auth = document.get("auth")
        return Cri(None if auth is None else AuthConfig(**auth))
    hosts_dir = stand.certs_d if document.get("hosts_dir", True) else None
    return Ctr.from_arguments(client.removeprefix("ctr-"), document.get("ctr_args", []), hosts_dir)


def files_of(case: Case, world: World) -> dict[str, str]:
    """The case's own files by absolute path; one that ends in ``/`` is an empty directory."""
    document = world.fill(case.document)
    roots = [world.stand.certs_d]
    if document.get("daemon", {}).get("etc"):
        roots.append("/etc/containerd/certs.d")
    files: dict[str, str] = {}
    for root in roots:
        files |= _below(root, document.get("files", {}), world.stand)
    return files | _below(world.stand.other_certs_d, document.get("files2", {}), world.stand)


def _below(root: str, tree: Mapping[str, str], stand: Stand) -> dict[str, str]:
    certificates = stand.files()
    return {
        f"{root}/{path}": certificates[text.removeprefix("@copy:")]
        if text.startswith("@copy:")
        else text
        for path, text in tree.items()
    }


def config_toml_of(case: Case, world: World) -> str:
    """The registry section of the node's config.toml."""
    daemon = world.fill(case.document.get("daemon", {}))
    section = 'plugins."io.containerd.grpc.v1.cri".registry'
    quoted = json.dumps
    lines = [
        "version = 2",
        f"[{section}]",
        f"config_path = {quoted(daemon.get('config_path', world.stand.certs_d))}",
    ]
    for host, endpoints in daemon.get("mirrors", {}).items():
        lines += [f"[{section}.mirrors.{quoted(host)}]", f"endpoint = {quoted(endpoints)}"]
    for host, auth in daemon.get("auth", {}).items():
        lines.append(f"[{section}.configs.{quoted(host)}.auth]")
        lines += [f"{key.replace('_', '')} = {quoted(value)}" for key, value in auth.items()]
    if daemon.get("headers"):
        lines.append(f"[{section}.headers]")
        lines += [f"{name} = {quoted(v)}" for name, v in daemon["headers"].items()]
    return "\n".join(lines)


def behaviours_of(case: Case, world: World) -> dict[str, HostBehaviour]:
    """How each logical host behaves."""
    documents = world.fill(case.document.get("hosts", {}))
    authorities = {"trusted": world.stand.trusted, "untrusted": world.stand.untrusted}
    return {
        host: behaviour_from({"cert": "trusted", **documents.get(host, {})}, authorities)
        for host in world.addresses
    }


def network_of(case: Case, world: World) -> SimulatedNetwork:
    """The hosts of the case."""
    behaviours: dict[str, HostBehaviour] = {}
    for host, behaviour in behaviours_of(case, world).items():
        behaviours |= dict.fromkeys(world.addresses[host], behaviour)
    return SimulatedNetwork(
        behaviours,
        world.image,
        elsewhere=UNRESOLVABLE,
        system_roots=frozenset({world.stand.trusted}),
        page=world.page,
        note=world.note,
    )


# -- comparing ----------------------------------------------------------------------------------
def differences(case: Case, release: str, pull: ContainerdPull, world: World) -> list[str]:
    """The differences between *pull* and the measurement; empty if they agree."""
    expected = world.fill(case.document["expect"][release])
    found = _request_differences(pull, expected["requests"], world)
    if found:
        return found
    seen = {
        "outcome": (pull.outcome, expected["outcome"]),
        "gRPC code": (pull.error and pull.error.code, expected.get("grpc_code")),
        "x- headers": _comparable(_x_headers(pull, world), expected.get("x_headers", []), pull),
        "client certificates": (
            _client_certificates(pull, world),
            expected.get("client_cert_cn", []),
        ),
        "token forms": (
            [_with_sorted_scope(dict(a.form)) for a in pull.received if a.form],
            [_with_sorted_scope(form) for form in expected.get("token_forms", [])],
        ),
    }
    found = [
        f"{what}: model {model!r}, measured {measured!r}"
        for what, (model, measured) in seen.items()
        if model != measured
    ]
    possible = [_with_addresses(error, pull, world) for error in pull.possible_errors] or [None]
    measured = _normal(expected.get("error"), pull, world)
    if measured not in possible:
        found.append(f"error: model {possible}, measured {measured!r}")
    return found + _token_query_differences(pull, expected.get("token_queries", []))


def shown(credential: SentCredential) -> str:
    """*credential* as the cases write it."""
    return {
        "none": "none",
        "basic": f"basic:{credential.user}:{credential.secret}",
        "bearer": f"bearer:{credential.secret}",
    }.get(credential.kind, credential.secret)


def _row(attempt: Attempt, world: World) -> list[Any]:
    host, sent = world.host_at(attempt.host), shown(attempt.credential)
    return [
        *(host, attempt.method, attempt.path, attempt.ns),
        *(sent, attempt.scheme, attempt.status),
    ]


def _request_differences(
    pull: ContainerdPull, measured: Sequence[list[Any]], world: World
) -> list[str]:
    """Compares sequences in order, and concurrent requests by path."""
    rest = list(measured)
    for is_concurrent, group in itertools.groupby(pull.received, key=lambda a: a.lane != ""):
        attempts = list(group)
        if is_concurrent:
            problem, rest = _lane_problem(attempts, rest, pull, world)
        else:
            problem, rest = _sequence_problem(attempts, rest, world)
        if problem is not None:
            return [problem]
    return [f"measured, not in the model: {row}" for row in rest]


def _sequence_problem(
    attempts: Sequence[Attempt], rows: Sequence[list[Any]], world: World, may_be_cut: bool = False
) -> tuple[str | None, list[list[Any]]]:
    """The first difference, and the remaining rows."""
    rest = list(rows)
    modelled = [_row(attempt, world) for attempt in attempts]
    for attempt, row, following in zip(attempts, modelled, [*modelled[1:], None], strict=True):
        if not rest and may_be_cut:
            return None, rest
        measured = rest.pop(0) if rest else None
        if measured != row:
            return f"model {row} ({attempt.because}), measured {measured}", rest
        while attempt.failure is Failure.RESET and rest[:1] == [row] and following != row:
            rest.pop(0)  # Go repeats once for each reused connection.
    return None, rest


def _lane_problem(
    attempts: Sequence[Attempt], rows: Sequence[list[Any]], pull: ContainerdPull, world: World
) -> tuple[str | None, list[list[Any]]]:
    """Compares path by path. If a lane fails, requests of the others may be missing."""
    paths = {attempt.path for attempt in attempts}
    is_ours = [row[2] in paths for row in rows]
    count = is_ours.index(False) if False in is_ours else len(rows)
    ours, rest = rows[:count], list(rows[count:])
    if not ours:
        return "no concurrent request was measured", rest
    for path in paths:
        if len({attempt.lane for attempt in attempts if attempt.path == path}) > 1:
            # Redirects of several lanes to one path arrive in random order.
            modelled = [repr(_row(attempt, world)) for attempt in attempts if attempt.path == path]
            here = [repr(row) for row in ours if row[2] == path]
            if sorted(modelled) == sorted(here) or (pull.error and set(here) <= set(modelled)):
                continue
        problem, left_over = _sequence_problem(
            [attempt for attempt in attempts if attempt.path == path],
            [row for row in ours if row[2] == path],
            world,
            may_be_cut=pull.error is not None,
        )
        if problem is not None or left_over:
            return problem or f"measured, not in the model: {left_over[0]}", rest
    return None, rest


def _x_headers(pull: ContainerdPull, world: World) -> list[Any]:
    content = RegistryContent(world.image)
    found = []
    for attempt in pull.received:
        headers = {n: list(v) for n, v in attempt.headers.items() if n.lower().startswith("x-")}
        if headers:
            reference = attempt.path.rpartition("/")[2]
            kind = content.kind(reference) if ":" in reference else "tag"
            if attempt.step == "token":
                kind = "token"
            found.append([world.host_at(attempt.host), attempt.scheme, kind, headers])
    return found


def _comparable(
    model: list[Any], measured: list[Any], pull: ContainerdPull
) -> tuple[list[Any], list[Any]]:
    """Both, sorted if requests ran concurrently. If one of those failed, others may be missing, so
    what was not measured is left out."""
    if not any(attempt.lane for attempt in pull.attempts):
        return model, measured
    if pull.error is not None:
        rest = list(measured)
        model = [row for row in model if row in rest and not rest.remove(row)]  # type: ignore[func-returns-value]
    return sorted(model, key=repr), sorted(measured, key=repr)


def _client_certificates(pull: ContainerdPull, world: World) -> list[Any]:
    hosts = {world.host_at(a.host) for a in pull.received if a.client_certificate}
    return [[host, "client"] for host in sorted(hosts)]


def _with_sorted_scope(parameters: Mapping[str, str]) -> dict[str, str]:
    """Scopes are sent in alphabetical order, which depends on the repository name."""
    scopes = sorted(parameters.get("scope", "").split())
    return {**parameters, "scope": " ".join(scopes)}


def _token_query_differences(
    pull: ContainerdPull, measured: Sequence[Mapping[str, str]]
) -> list[str]:
    """Recordings have the challenge's scope too, or only the last ``scope`` of the query."""
    queries = [a.query for a in pull.received if a.step == "token" and a.method == "GET"]
    if len(queries) != len(measured):
        return [f"token queries: model {queries}, measured {measured}"]
    found = []
    for query, real in zip(queries, measured, strict=True):
        names = dict(query)
        whole = {name: " ".join(v for n, v in query if n == name) for name in names}
        own = {**whole, "scope": f"repository:{pull.plan.reference.repository}:pull"}
        if _with_sorted_scope(real) not in map(_with_sorted_scope, (whole, own)):
            found.append(f"token query: model {query}, measured {real}")
    return found


_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_RESET = re.compile(r"read tcp (?:\S+->)?(\S+):")
_MALFORMED = re.compile(r'malformed HTTP response ".*"')
_PEEKED = "readLoopPeekFailLocked: "
"""Go's words for an alert that arrived before the request was written; timing decides."""
_SIZES = re.compile(r"failed size validation: \d+ != \d+")
_EXPECTED_BYTES = re.compile(r"expected \d+ bytes")


def _with_addresses(error: PullError, pull: ContainerdPull, world: World) -> str | None:
    """The model's message with resolved addresses."""
    text = error.message.replace(world.stand.certs_d, "<config_path>")
    if error.code is None:
        text = text.rpartition("\n")[2]  # Only the last line of ctr's output was recorded.
    for addresses in world.addresses.values():
        if len(addresses) == 4:
            _, name, _, ip = addresses
            text = re.sub(rf"\b(dial|read) tcp {re.escape(name)}:", rf"\1 tcp {ip}:", text)
    return _normal(text, pull, world)


def _normal(text: str | None, pull: ContainerdPull, world: World) -> str | None:
    """*text* without what differs between measurements.

    If concurrent requests fail, timing decides which error is reported.
    """
    if text is None:
        return None
    known = (
        set()
        if pull.attempts and pull.attempts[-1].lane
        else {v for n, v in world.values.items() if n != "html"}
    )
    text = _DIGEST.sub(lambda m: m[0] if m[0] in known else "sha256:<other>", text)
    text = text.replace(_PEEKED, "")
    text = _MALFORMED.sub("malformed HTTP response", text)
    text = _SIZES.sub("failed size validation: N != M", text)
    return _EXPECTED_BYTES.sub("expected N bytes", _RESET.sub(r"read tcp \1:", text))
