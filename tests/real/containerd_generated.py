"""Generated cases for containerd: random trees, capabilities, failures, credentials and clients.

Each is a document in the format of the measured cases, so that a failing one can be kept as it is.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.real.labs import rarely

_NONE = st.none()


# -- hosts.toml ---------------------------------------------------------------------------------
_MIRRORS = st.sampled_from(
    ["{m1}", "{m1}", "{m1}", "{m2}", "{m2}", "{m3}", "{m1.ip}", "{up}", "{m2.name}"]
)
_PATHS = st.sampled_from(["", "", "", "/", "/v2", "/v2/", "/x", "/x/v2", "/v2/x", "//x//y/"])
_URLS = st.builds(
    lambda scheme, host, path: f"{scheme}{host}{path}",
    st.sampled_from(["http://", "http://", "https://", ""]),
    _MIRRORS,
    _PATHS,
)
_CAPABILITIES = st.lists(
    st.sampled_from(["pull", "resolve", "push", "PULL"]), max_size=3, unique=True
)
_CA = st.sampled_from(
    [
        "{certdir}/trustedca.crt",
        "{certdir}/untrustedca.crt",
        ["{certdir}/untrustedca.crt", "{certdir}/trustedca.crt"],
        "{certdir}/missing.crt",
        "{certdir}/client.key",
    ]
)
_CLIENTS = st.sampled_from(
    ["{certdir}/client.pem", [["{certdir}/client.crt", "{certdir}/client.key"]]]
)
_WRONG = st.sampled_from(
    [
        'capabilities = ["pul"]',
        'capabilities = "pull"',
        'skip_verify = "yes"',
        "ca = 3",
        "unknown_key = 1",
        'dial_timeout = "2s"',
        "dial_timeout = 3",
    ]
)


@st.composite
def _settings(draw: st.DrawFn, wrong: bool = True) -> list[str]:
    """The lines below a host's header, or before the first header."""
    values: dict[str, Any] = {
        "capabilities": draw(rarely(_CAPABILITIES)),
        "skip_verify": draw(rarely(st.booleans())),
        "ca": draw(rarely(rarely(_CA))),
        "client": draw(rarely(rarely(_CLIENTS))),
        "override_path": draw(rarely(st.booleans())),
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    if wrong and (line := draw(rarely(rarely(_WRONG)))):
        lines.append(line)
    return lines


@st.composite
def _hosts_toml(draw: st.DrawFn) -> str:
    server = draw(st.one_of(st.sampled_from(["http://{up}", "https://{up}"]), _NONE, _URLS))
    lines = [] if server is None else [f'server = "{server}"']
    lines += draw(rarely(_settings(), usually=[]))
    urls = draw(st.lists(_URLS, max_size=3, unique=True))
    style = draw(rarely(st.sampled_from(["inline", "dotted", "headers"]), usually="headers"))
    if style == "inline":
        # containerd orders them at random: two hosts keep the number of orders small.
        entries = [(url, draw(_settings(wrong=False))) for url in urls[:2]]
        lines.append("[host]")
        lines += [f'"{url}" = {{{", ".join(settings)}}}' for url, settings in entries]
        return "\n".join(lines) + "\n"
    for url in urls:
        if style == "dotted":
            lines.append(f'host."{url}".capabilities = {json.dumps(draw(_CAPABILITIES))}')
            continue
        lines += [f'[host."{url}"]', *draw(_settings())]
        if value := draw(rarely(st.sampled_from(['"a"', '["b", "c"]']))):
            lines += [f'[host."{url}".header]', f"x-a = {value}"]
    if draw(rarely(rarely(st.just(True)))):
        lines.append("[host")
    return "\n".join(lines) + "\n"


@st.composite
def _tree(draw: st.DrawFn, namespace: str) -> dict[str, str]:
    spelled = {"{up}": "{up_}", "{m1}": "{m1_}"}.get(namespace, namespace)
    right = st.sampled_from([namespace, namespace, namespace, spelled, "_default"])
    others = st.sampled_from(["{m1}", "{up.name}", "_default", "{up_}", namespace])
    tree = {f"{draw(right)}/hosts.toml": draw(_hosts_toml())}
    if other := draw(rarely(others)):
        what = draw(st.sampled_from(["hosts", "empty", "crt", "cert"]))
        match what:
            case "hosts":
                tree.setdefault(f"{other}/hosts.toml", draw(_hosts_toml()))
            case "empty" if not any(path.startswith(f"{other}/") for path in tree):
                tree[f"{other}/"] = ""
            case "crt":
                tree[f"{other}/ca.crt"] = "@copy:{certdir}/untrustedca.crt"
            case "cert":
                tree[f"{other}/c.cert"] = "@copy:{certdir}/client.crt"
                tree[f"{other}/c.key"] = "@copy:{certdir}/client.key"
    return tree


# -- hosts --------------------------------------------------------------------------------------
_COMMON = st.sampled_from([401, 403, 404, 429, 500, 503])
_UNCOMMON = st.sampled_from([200, 204, 304, 400, 405, 406, 408, 410, 416, 451, 501, 502, 504])
_STATUSES = st.one_of(_COMMON, _COMMON, _UNCOMMON)
_ANYWHERE: st.SearchStrategy[dict[str, Any]] = st.one_of(
    # Half of all: statuses have the most effects.
    *[st.builds(lambda status: {"status": status}, _STATUSES) for _ in range(12)],
    st.just({"html": True}),
    st.just({"reset": True}),
    st.builds(
        lambda host: {"redirect": f"http://{host}{{path}}"}, st.sampled_from(["{m2}", "{up}"])
    ),
    st.just({"wrong_body": True}),
    st.builds(
        lambda n, ignore: {"truncate": n, "ignore_range": ignore},
        st.sampled_from([0, 1, 100, 1000]),
        st.booleans(),
    ),
    st.just({"no_digest_header": True}),
    st.just({"wrong_digest_header": True}),
    st.just({"bad_digest_header": True}),
    st.just({"drop_size": True}),
    st.just({"status": 200, "body": ""}),
    st.just({"status": 403, "body": '{"errors":[{"code":"DENIED","message":"no"}]}'}),
    st.just({"status": 301, "headers": {"Location": "/elsewhere"}}),
)
_FILTERS = st.one_of(
    st.builds(
        lambda obj: {"obj": obj}, st.sampled_from(["tag", "manifest", "config", "layer", "index"])
    ),
    st.builds(lambda method: {"method": method}, st.sampled_from(["HEAD", "GET"])),
    st.builds(lambda kind: {"kind": kind}, st.sampled_from(["manifest-tag", "blob", "token"])),
    st.just({}),
)


@st.composite
def _rule(draw: st.DrawFn) -> dict[str, Any]:
    rule = {"on": draw(_FILTERS), "do": draw(_ANYWHERE)}
    # Go repeats a request if a reused connection is reset: the effect of a limited number of resets
    # would depend on the connection.
    if "obj" in rule["on"] and "reset" not in rule["do"]:
        times = draw(rarely(st.integers(1, 3)))
        if times is not None:
            rule["times"] = times
    return rule


_TOKENS = {"type": "bearer", "realm": "http://{tok}/token"}


@st.composite
def _challenge(draw: st.DrawFn, host: str, sequential: bool) -> dict[str, Any]:
    auth: dict[str, Any] = draw(
        st.one_of(
            st.just({"type": "basic", "cred": "u:p"}),
            st.just({"type": "basic", "cred": "other:p"}),
            st.just({**_TOKENS, "service": host, "token": f"T-{host}"}),
            st.just({**_TOKENS, "service": host, "token": "wrong"}),
            st.just({**_TOKENS, "service": host, "token": "wrong", "error": "invalid_token"}),
        )
    )
    # A token rejected with a reason is dropped: of ctr's concurrent requests, timing decides which
    # still have it.
    return auth if sequential else {k: v for k, v in auth.items() if k != "error"}


@st.composite
def _behaviour(draw: st.DrawFn, host: str, sequential: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    match draw(st.integers(0, 13)):
        case 1:
            found["down"] = True
        case 2 | 3:
            found["store"] = False
        case 4:
            found["tls"] = draw(st.sampled_from(["plain", "tls"]))
        case 5:
            found["cert"] = "untrusted"
        case 6:
            found["client_ca"] = True
        case 7 | 8 | 9 | 10 | 11:
            found["rules"] = draw(st.lists(_rule(), min_size=1, max_size=2))
    if auth := draw(rarely(_challenge(host, sequential))):
        found["auth"] = auth
    return found


_TOKEN_SERVER: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"token": {"cred": "u:p"}},
        {"token": {"post": 404}},
        {"token": {"post": 403}},
        {"token": {"post": 405, "cred": "other:p"}},
        {"token": {"status": 500}},
        {"down": True},
    ]
)

# -- clients ----------------------------------------------------------------------------------
_AUTHS: st.SearchStrategy[dict[str, str]] = st.sampled_from(
    [
        {"username": "u", "password": "p"},
        {"username": "u", "password": "wrong"},
        {},
        {"username": "u", "password": "p", "server_address": "http://{m1}"},
        {"username": "u", "password": "p", "server_address": "{m1}"},
        {"username": "u", "password": "p", "server_address": "https://{up}/v1/"},
        {"identity_token": "idt"},
        {"auth": "dTpw"},
        {"auth": "no base64"},
        {"username": "u"},
        {"registry_token": "rt"},
    ]
)
_DAEMONS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"auth": {"{m1}": {"username": "u", "password": "p"}}},
        {"auth": {"{up}": {"username": "u", "password": "p"}}},
        {"config_path": "", "mirrors": {"{up}": ["http://{m1}", "https://{m2}/x"]}},
        {"config_path": "", "mirrors": {"*": ["http://{m2}"]}},
        {"config_path": "{certs.d}:{certs2.d}"},
    ]
)
_IMAGES = {
    "{up}": ["{up}/team/app:v1", "{up}/team/app@{digest}", "{up}/team/app:v1@{digest}"],
    "{m1}": ["{m1}/team/app:v1"],
    "{up.ip}": ["{up.ip}/team/app:v1"],
    "{up.addr}": ["{up.addr}/team/app:v1"],
    "{up.name}": ["{up.name}/team/app:v1"],
    "docker.io": ["docker.io/team/app:v1"],
}


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """One case, without an id and without expectations."""
    client = draw(st.sampled_from(["cri", "cri", "cri", "ctr-pull", "ctr-fetch"]))
    namespace = draw(rarely(st.sampled_from(list(_IMAGES)), usually="{up}"))
    case: dict[str, Any] = {
        "client": client,
        "files": draw(_tree(namespace)),
        "image": draw(st.sampled_from(_IMAGES[namespace])),
    }
    hosts = {h: draw(_behaviour(h, client == "cri")) for h in ("m1", "m2", "m3", "up")}
    if any(found.get("auth", {}).get("type") == "bearer" for found in hosts.values()):
        hosts["tok"] = draw(_TOKEN_SERVER)
    case["hosts"] = {host: found for host, found in hosts.items() if found}
    if draw(rarely(st.just(True))):
        case["imagekind"] = "index"
    if client == "cri":
        if (auth := draw(st.one_of(_NONE, _AUTHS))) is not None:
            case["auth"] = auth
        if daemon := draw(rarely(_DAEMONS)):
            case["daemon"] = daemon
    else:
        if arguments := draw(
            rarely(st.sampled_from([["-u", "u:p"], ["--plain-http"], ["--skip-verify"]]))
        ):
            case["ctr_args"] = arguments
        if draw(rarely(rarely(st.just(True)))):
            case["hosts_dir"] = False
    return case
