"""``--probe``: send real requests to the hosts of a plan, and let the model use the answers.

Each host gets HEAD of ``/v2/`` and of the manifest. The probe follows no redirect, requests no
token and gives up after a few seconds. Answers are treated as hostile: only statuses and a few
headers are used, shortened and made printable. Credentials are sent only on request, only after a
Basic challenge, and only to the host for which the model has a login.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace

import httpx

from harness.nodes.explain.containerd_pull import explain_containerd, first_plan, login_of
from harness.nodes.explain.explanation import BadInput, Diagnostic, Explanation, Probed, printable
from harness.nodes.explain.files import ContainerdFiles, ContainerdQuestion
from harness.nodes.explain.when import behaviour
from harness.nodes.models.containerd.plan import Plan, PlannedHost
from harness.nodes.models.go_url import GoURL, InvalidURL, parse_url
from harness.nodes.models.network import Login
from harness.nodes.models.registry_api import ParsedChallenge, parse_challenges
from harness.nodes.models.simulated_network import (
    HostAction,
    HostBehaviour,
    HostChallenge,
    HostRule,
)

SECONDS_PER_HOST = 5.0
"""Limit for both requests together, with name resolution and handshakes."""
MOST_HOSTS = 16
_ACCEPT = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"
)
_MANY = 200
"""Characters kept of a header."""


@dataclass(frozen=True)
class _Seen:
    behaviour: HostBehaviour
    probed: Probed


def probed_containerd(question: ContainerdQuestion, *, with_credentials: bool) -> Explanation:
    """The explanation with hosts as the probe found them. Raises :class:`BadInput`."""
    files = question.files
    plan = first_plan(question)
    hosts = list({host.name: host for host in plan.hosts}.values())[:MOST_HOSTS]
    contexts = [_context(files, host) for host in hosts]

    async def ask_all() -> list[_Seen]:
        logins = [login_of(host) if with_credentials else None for host in hosts]
        asked = zip(hosts, contexts, logins, strict=True)
        return await asyncio.gather(*(_ask(plan, *one) for one in asked))

    seen = dict(zip((host.name for host in hosts), asyncio.run(ask_all()), strict=True))
    texts = [
        "the probe checks neither blobs nor tokens and uses no HTTP proxy; the rest is assumed to "
        "be healthy"
    ]
    if len(plan.hosts) > MOST_HOSTS:
        texts.append(f"only the first {MOST_HOSTS} hosts were probed")
    notes = [Diagnostic(text, is_warning=False) for text in texts]
    question = replace(question, notes=(*question.notes, *notes))
    explanation = explain_containerd(question, {name: one.behaviour for name, one in seen.items()})
    return replace(
        explanation,
        hosts=tuple(
            replace(host, probed=seen[host.name].probed if host.name in seen else None)
            for host in explanation.hosts
        ),
    )


def _context(files: ContainerdFiles, host: PlannedHost) -> ssl.SSLContext:
    """The TLS settings of *host*."""
    trust = host.client.trust
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust.system_roots:
        context = ssl.create_default_context()
    for authority in trust.authorities:
        context.load_verify_locations(cadata=authority)
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate = trust.client_certificate
    if certificate is not None:
        key = files.keys.get(certificate)
        try:
            context.load_cert_chain(
                files.real(certificate), None if key is None else files.real(key)
            )
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or "not a certificate with its key"
            raise BadInput(f"cannot load: {reason}", files.shown(certificate)) from None
    return context


async def _ask(
    plan: Plan, host: PlannedHost, context: ssl.SSLContext, login: Login | None
) -> _Seen:
    schemes = [host.scheme]
    if host.scheme == "https" and host.client.falls_back:
        schemes.append("http")
    failed: _Seen | None = None
    for scheme in schemes:
        try:
            async with asyncio.timeout(SECONDS_PER_HOST):
                seen = await _converse(plan, host, scheme, context, login)
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            failed = failed or _failure(error)
        else:
            if scheme != host.scheme:
                return replace(seen, behaviour=replace(seen.behaviour, speaks="plain"))
            return seen
    assert failed is not None
    return failed


async def _converse(
    plan: Plan, host: PlannedHost, scheme: str, context: ssl.SSLContext, login: Login | None
) -> _Seen:
    reference = plan.reference
    root = f"{scheme}://{host.name}{host.path.rstrip('/')}"
    url = f"{root}/{reference.repository}/manifests/{reference.digest or reference.tag or ''}"
    ns = host.namespace_for(reference.namespace)
    # trust_env=False: no proxy and no .netrc from this machine.
    async with httpx.AsyncClient(
        verify=context, trust_env=False, follow_redirects=False, timeout=SECONDS_PER_HOST
    ) as client:
        parameters = {} if ns is None else {"ns": ns}
        base = await _headers_of(client, f"{root}/", {})
        manifest = await _headers_of(client, url, parameters)
        wanted = [one.scheme for one in _challenges(manifest)][:1]
        sent = bool(manifest.status_code == 401 and wanted == ["basic"] and login and login.secret)
        if sent and login:
            auth = httpx.BasicAuth(login.user, login.secret)
            manifest = await _headers_of(client, url, parameters, auth)
    return _seen(host, base, manifest, sent)


async def _headers_of(
    client: httpx.AsyncClient,
    url: str,
    parameters: dict[str, str],
    auth: httpx.BasicAuth | None = None,
) -> httpx.Response:
    """The answer to HEAD; a body, if there is one, is not read."""
    headers = {"Accept": _ACCEPT, "Accept-Encoding": "identity", "User-Agent": "pullproof"}
    request = client.build_request("HEAD", url, params=parameters or None, headers=headers)
    response = await client.send(request, stream=True, auth=auth)
    await response.aclose()
    return response


# -- what it means ------------------------------------------------------------------------------
def _failure(error: Exception) -> _Seen:
    text = str(error) or type(error).__name__
    seen = HostBehaviour(down=True)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        text = f"no answer within {SECONDS_PER_HOST:.0f} s"
        seen = HostBehaviour(unreachable=True)
    elif "CERTIFICATE_VERIFY_FAILED" in text:
        seen = HostBehaviour(authority=b"an unknown authority")
    elif "getaddrinfo" in text or "Name or service" in text or "name resolution" in text:
        seen = HostBehaviour(resolvable=False)
    elif "SSL" in text:
        seen = HostBehaviour(speaks="plain")
    said = f"not reached: {printable(text[:_MANY])}"
    return _Seen(seen, Probed(reached=False, said=said))


def _challenges(response: httpx.Response) -> Sequence[ParsedChallenge]:
    lines = response.headers.get_list("WWW-Authenticate")[:5]
    return parse_challenges(line[:2000] for line in lines)


def _seen(host: PlannedHost, base: httpx.Response, manifest: httpx.Response, sent: bool) -> _Seen:
    status = manifest.status_code
    challenges = _challenges(manifest)
    words = "; ".join(
        f"{one.scheme}"
        + "".join(
            f" {key}={one.parameters[key][:_MANY]}"
            for key in ("realm", "service")
            if key in one.parameters
        )
        for one in challenges
    )
    said = f"HEAD /v2/ {base.status_code}, HEAD manifest {status}"
    if sent:
        said += " with the login"
    if words:
        said += f", requires {printable(words)}"
    scheme = challenges[0].scheme if challenges else ""
    if status == 401 and scheme in {"basic", "bearer"} and not sent:
        said += "; credentials not tried"
        seen = _asks_for(scheme, challenges[0].parameters.get("realm", ""), host)
    elif sent:
        seen = behaviour("basic" if status != 401 else "401", host.name, login_of(host))
    elif 200 <= status < 300:
        seen = HostBehaviour()
    else:
        seen = HostBehaviour(rules=(HostRule(HostAction(status=status), method="HEAD"),))
    probed = Probed(
        reached=True,
        said=said,
        base_status=base.status_code,
        manifest_status=status,
        challenge=printable(words),
        digest=printable(manifest.headers.get("Docker-Content-Digest", "")[:_MANY]),
        sent_credentials=sent,
    )
    return _Seen(seen, probed)


def _asks_for(scheme: str, realm: str, host: PlannedHost) -> HostBehaviour:
    """A host that sends a challenge; assumed to accept the credentials that it gets."""
    if scheme == "basic":
        return behaviour("basic", host.name, login_of(host))
    try:
        url = parse_url(realm)
    except InvalidURL:
        url = GoURL("", "", "")
    # The model recognises token services by their path.
    shown = realm if url.path.endswith("/token") else f"{url.scheme}://{url.host}/token"
    service = HostChallenge("bearer", realm=shown, service="probed", token="T-probed")
    return HostBehaviour(challenge=service)
