"""Section 18: the configuration file, the environment, and exit codes.

What 2.8 and 3.1 make of many more files is in ``tests/unit/server/config_cases.txt``.
"""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from harness.clients.push import put_manifest, upload_blob
from harness.system.process import clean_environment
from harness.targets import RunningRegistry
from tests.contract.profiles.bench import IMAGE, REPOSITORY, Bench, starts, warned_of
from tests.contract.profiles.outcomes import GOOD, STORAGE, outcome
from tests.contract.profiles.processes import command
from tests.contract.profiles.table import SAME, row

_UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"
_ADDRESS = {"REGISTRY_HTTP_ADDR": "127.0.0.1:0"}


def _version(text: str) -> str:
    """The good file with *text* for its first line."""
    return GOOD.replace("version: 0.1", text)


# -- version --------------------------------------------------------------------------------------
@row("18.1", {"missing": 1, "empty file": 1})
def test_no_version(bench: Bench) -> object:
    return {"missing": outcome(bench, _version("")), "empty file": outcome(bench, "")}


@row("18.2", 1)
def test_no_space_after_the_colon(bench: Bench) -> object:
    return outcome(bench, _version("version:0.1"))


@row("18.3", "starts")
def test_quoted_version(bench: Bench) -> object:
    return outcome(bench, _version("version: '0.1'"))


@row("18.4", [1, 1])
def test_other_versions(bench: Bench) -> object:
    return [outcome(bench, _version(f"version: {number}")) for number in ("0.2", "0.10")]


@row("18.5", 2, 1)
def test_version_without_a_dot(bench: Bench) -> object:
    return outcome(bench, _version("version: 1"))


@row("18.6", 1)
def test_version_of_three_numbers(bench: Bench) -> object:
    return outcome(bench, _version("version: 0.1.0"))


# -- storage --------------------------------------------------------------------------------------
def _storage(text: str) -> str:
    return f"version: 0.1\nhttp: {{addr: '127.0.0.1:0'}}\n{text}\n"


@row("18.7", [1, 1, 1])
def test_no_storage(bench: Bench) -> object:
    """No section, an empty one, and one with nothing but a cache."""
    sections = ("", "storage: {}", "storage: {cache: {blobdescriptor: inmemory}}")
    return [outcome(bench, _storage(section)) for section in sections]


@row("18.8", 1)
def test_two_drivers(bench: Bench) -> object:
    return outcome(bench, f"{STORAGE}  inmemory:\n")


@row("18.9", 2)
def test_unknown_driver(bench: Bench) -> object:
    return outcome(bench, _storage("storage: {floppy: {}}"))


@row("18.10", "starts")
def test_no_root_directory(bench: Bench) -> object:
    return outcome(bench, _storage("storage: filesystem"))


@row("18.24", [1, 1], SAME, ["starts", 2])
def test_limit_of_tag_lookups(bench: Bench) -> object:
    """A good one, and a negative one."""
    return [outcome(bench, f"{STORAGE}  tag: {{concurrencylimit: {limit}}}\n") for limit in (8, -1)]


# -- what is accepted -----------------------------------------------------------------------------
_ODD = {
    "unknown keys": f"{GOOD}htp: {{addr: ':1'}}\nlog: {{levle: info}}\n",
    "a key twice": f"{GOOD}log: {{level: warn}}\nlog: {{level: info}}\n",
    "CRLF": GOOD.replace("\n", "\r\n"),
    "byte order mark": f"\ufeff{GOOD}",
}


@row("18.11", dict.fromkeys(_ODD, "starts"))
def test_what_is_accepted_silently(bench: Bench) -> object:
    return {name: outcome(bench, text) for name, text in _ODD.items()}


# -- http and log ---------------------------------------------------------------------------------
@row("18.12", 1)
def test_port_without_a_colon(bench: Bench) -> object:
    return outcome(bench, GOOD.replace("127.0.0.1:0", "80"))


@row("18.13", "starts")
def test_no_http_section(bench: Bench) -> object:
    """With the address from the environment, so as not to listen on all interfaces."""
    return outcome(bench, GOOD.partition("http:")[0], **_ADDRESS)


@row("18.14", [1, 1])
def test_words_for_durations(bench: Bench) -> object:
    health = "health: {storagedriver: {enabled: true, interval: often}}\n"
    return [outcome(bench, f"{GOOD}  draintimeout: soon\n"), outcome(bench, GOOD + health)]


@row("18.15", [1, 1])
def test_words_for_the_log(bench: Bench) -> object:
    return [outcome(bench, f"{GOOD}log: {{{key}: loud}}\n") for key in ("level", "formatter")]


# -- proxy ----------------------------------------------------------------------------------------
@row("18.16", [2, 2])
def test_upstream_without_a_scheme(bench: Bench) -> object:
    hosts = ("registry.test:5000", "registry.test")
    return [outcome(bench, f"{GOOD}proxy: {{remoteurl: '{host}'}}\n") for host in hosts]


def _opens(bench: Bench, proxy: object) -> int | None:
    """The answer to a push of a registry with this section."""
    return bench.standard(extra={"proxy": proxy}).post(_UPLOADS).status


@row("18.17", [202, 202])
def test_proxy_of_nothing(bench: Bench) -> object:
    return [_opens(bench, proxy) for proxy in ({"remoteurl": ""}, {"username": "u"})]


@row("18.17", "starts")
def test_null_proxy(bench: Bench) -> object:
    return outcome(bench, f"{GOOD}proxy:\n")


@row("18.18", 202)
def test_misspelt_upstream(bench: Bench) -> object:
    return _opens(bench, {"remoteURL": bench.upstream.url})


# -- the environment ------------------------------------------------------------------------------
def _refuses_pushes(registry: RunningRegistry) -> bool:
    return registry.post(_UPLOADS).status == 405


@row("18.19", True)
def test_variable_makes_a_section(bench: Bench) -> object:
    """Whether a registry without the section has become a cache."""
    environment = {"REGISTRY_PROXY_REMOTEURL": bench.upstream.url}
    return _refuses_pushes(bench.standard(environment=environment))


@row("18.19", False)
def test_variable_in_lower_case(bench: Bench) -> object:
    environment = {"registry_proxy_remoteurl": bench.upstream.url}
    return _refuses_pushes(bench.standard(environment=environment))


@row("18.19", [])
def test_variable_replaces_the_driver(bench: Bench) -> object:
    """The files after a push."""
    registry = bench.standard(environment={"REGISTRY_STORAGE": "inmemory"})
    upload_blob(registry.client, REPOSITORY, IMAGE.config)
    return registry.disk.files()


@row("18.19", 202)
def test_variable_switches_deletion_on(bench: Bench) -> object:
    registry = bench.standard(environment={"REGISTRY_STORAGE_DELETE_ENABLED": "true"})
    upload_blob(registry.client, REPOSITORY, IMAGE.config)
    return registry.delete(f"/v2/{REPOSITORY}/blobs/{IMAGE.config.digest}").status


@row("18.19", "1")
def test_variable_is_yaml(bench: Bench) -> object:
    registry = bench.standard(environment={"REGISTRY_HTTP_HEADERS": "{X-Extra: ['1']}"})
    return registry.get("/v2/").headers.get("X-Extra")


@row("18.19", True)
def test_unknown_variable(bench: Bench) -> object:
    name = "REGISTRY_NOTHING_AT_ALL"
    return warned_of(bench, bench.standard(environment={name: "x"}), name)


@row("18.19", "starts")
def test_version_cannot_be_overridden(bench: Bench) -> object:
    return outcome(bench, GOOD, REGISTRY_VERSION="0.2")


@row("18.20", [1, 1])
def test_variables_of_a_wrong_type(bench: Bench) -> object:
    return [
        outcome(bench, GOOD, REGISTRY_HTTP_RELATIVEURLS="perhaps"),
        outcome(bench, GOOD, REGISTRY_HTTP_DRAINTIMEOUT="soon"),
    ]


# -- caches ---------------------------------------------------------------------------------------
def _cache(name: str) -> dict[str, Any]:
    return {"extra": {"storage": {"cache": {"blobdescriptor": name}}}}


@row("18.21", True)
def test_unknown_cache(bench: Bench) -> object:
    """Whether it is warned of."""
    return warned_of(bench, bench.standard(**_cache("memory")), "memory")


@row("18.22", 2)
def test_redis_without_its_section(bench: Bench) -> object:
    return starts(bench, **_cache("redis"))


@row("18.23", {"addr": "starts", "addrs": 2}, SAME, {"addr": 2, "addrs": "starts"})
def test_keys_of_redis(bench: Bench) -> object:
    cached = f"{STORAGE}  cache: {{blobdescriptor: redis}}\n"
    return {
        "addr": outcome(bench, f"{cached}redis: {{addr: '127.0.0.1:9'}}\n"),
        "addrs": outcome(bench, f"{cached}redis: {{addrs: ['127.0.0.1:9']}}\n"),
    }


# -- limits ---------------------------------------------------------------------------------------
def _with_tags(registry: RunningRegistry) -> RunningRegistry:
    for blob in IMAGE.blobs:
        upload_blob(registry.client, REPOSITORY, blob)
    for tag in ("a", "b", "c"):
        put_manifest(registry.client, REPOSITORY, tag, IMAGE)
    return registry


@row("18.25", [(3, False), (3, False)], SAME, SAME, [(2, True), (3, False)])
def test_most_tags(bench: Bench) -> object:
    """How many of three tags come, and whether there is a Link, for ``n=5`` and without ``n``."""
    registry = _with_tags(bench.standard(extra={"tags": {"maxtags": 2}}))
    answers = [registry.get(f"/v2/{REPOSITORY}/tags/list{query}") for query in ("?n=5", "")]
    return [(len(answer.json()["tags"]), "Link" in answer.headers) for answer in answers]


@row("18.25", "starts", SAME, SAME, 1)
def test_negative_most_tags(bench: Bench) -> object:
    return outcome(bench, f"{GOOD}tags: {{maxtags: -1}}\n")


@row("18.26", {None: [200, 400], 0: [200, 400], 5: [400, 400]})
def test_most_entries_of_the_catalog(bench: Bench) -> object:
    """The answers to ``n=1000`` and ``n=1001``."""
    seen = {}
    for most in (None, 0, 5):
        registry = bench.standard(maxentries=most)
        seen[most] = [registry.get(f"/v2/_catalog?n={n}").status for n in (1000, 1001)]
    return seen


# -- the command line, and the prefix -------------------------------------------------------------
@row("18.27", 0)
def test_misused_command_line(bench: Bench) -> object:
    ended = subprocess.run(
        [*command(bench), "serve", "--nonsense"],
        env=clean_environment(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert b"nonsense" in ended.stderr
    return ended.returncode


@row("18.28", {"/pre/v2/": 200, "/v2/": 404, "/": 200})
@pytest.mark.parametrize("prefix", ["/pre", "/pre/"])
def test_prefix(bench: Bench, prefix: str) -> object:
    registry = bench.standard(prefix=prefix)
    return {path: registry.get(path).status for path in ("/pre/v2/", "/v2/", "/")}


@row("18.28", [404, 404])
def test_prefix_without_a_slash(bench: Bench) -> object:
    registry = bench.standard(prefix="pre/")
    return [registry.get(path).status for path in ("/v2/", "/pre/v2/")]
