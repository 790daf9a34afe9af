"""Pull secrets, manifests, compose files, daemon.json and registries.conf: cases that no example of
a single rule shows."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
import yaml

from harness.cli import main
from harness.nodes.lint.documents import TreeFile
from harness.nodes.lint.engine import LintOptions
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.logins import logins_in
from harness.nodes.lint.rule import RuleContext
from harness.nodes.lint.rules import loaded_rules
from harness.nodes.models.containerd.releases import release_named
from harness.nodes.models.containers.registries_conf import (
    InvalidRegistriesConf,
    read_registries_conf,
)
from harness.nodes.models.dockerd import InvalidDaemonJson, read_daemon_json
from harness.nodes.models.kubelet import InvalidSecret, read_docker_config
from tests.unit.lint.cases import FIXTURES, case_of, findings, project_of

_CASES = json.loads((FIXTURES.parent / "kubelet" / "keyring-cases.json").read_text())["cases"]
_KINDS = {
    Kind.LOGINS,
    Kind.KUBERNETES,
    Kind.COMPOSE,
    Kind.DAEMON,
    Kind.REGISTRIES,
}
_IDS = [rule.id for rule in loaded_rules() if set(rule.kinds) <= _KINDS]


def pod(image: str) -> str:
    container = {"name": "app", "image": image}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}})


@pytest.mark.parametrize("case", _CASES, ids=range(len(_CASES)))
def test_the_entries_that_match_nothing_are_those_that_kubelet_does_not_try(
    case: dict[str, Any], tmp_path: Path
) -> None:
    keys = case["secret_keys"]
    auths = {key: {"username": "u", "password": "secret"} for key in keys}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    (tmp_path / "pod.json").write_text(pod(case["repository_after_normalisation"]))
    project = project_of(tmp_path)
    context = RuleContext(project, release_named("2.3"))
    (file,) = project.of_kind(Kind.LOGINS, TreeFile)
    (logins,) = logins_in(file, context)
    tried = set(case["tried_in_this_order"])
    # Docker Hub's other key counts only where no key matches better; it is no mistake beside one.
    assert {entry.key for entry in logins.unmatched} - _hub(keys) == set(keys) - tried - _hub(keys)


def _hub(keys: list[str]) -> set[str]:
    return {key for key in keys if "index.docker.io" in key} if len(keys) > 1 else set()


def test_a_secret_without_a_manifest_is_compared_with_certs_d(tmp_path: Path) -> None:
    example = FIXTURES / "PPS001" / "bad"
    hosts = tmp_path / "certs.d" / "reg.example" / "hosts.toml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text((example / "certs.d" / "reg.example" / "hosts.toml").read_text())
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": (example / "config.json").read_text()},
    }
    (tmp_path / "secret.json").write_text(json.dumps(secret))
    said = [f.rule for f in findings(project_of(tmp_path), LintOptions()) if f.severity.rank < 2]
    assert said == ["PPS001"]


@pytest.mark.parametrize(
    ("auth", "rules"),
    [
        ("dTpzZWNyZXQ=", []),
        ("dTpzZWNyZXQ", []),  # kubelet asks for no padding
        ("dTrp", []),  # a password in Latin 1
        ("dTrpCg==", ["PPS203"]),
        ("u:secret", ["PPS201"]),
        ("secret", ["PPS202"]),
        ("c2VjcmV0", ["PPS202"]),
    ],
)
def test_auth_is_read_as_kubelet_does(auth: str, rules: list[str], tmp_path: Path) -> None:
    text = json.dumps({"auths": {"reg.example": {"auth": auth}}})
    (tmp_path / "regcred.dockerconfigjson").write_text(text)
    assert [f.rule for f in findings(project_of(tmp_path), LintOptions())] == rules
    try:
        read_docker_config(text)
    except InvalidSecret:
        assert {"PPS201", "PPS202"} & set(rules)
    else:
        assert not {"PPS201", "PPS202"} & set(rules)


def test_docker_s_file_is_not_compared_with_kubelet_s_images(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(
        '{"auths": {"push.example": {"auth": "dTpw"}}}'
    )
    (tmp_path / "pod.json").write_text(pod("reg.example/app"))
    assert not findings(project_of(tmp_path), LintOptions())


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [("", "", True), ("a", "", True), ("", "a", True), ("a", "a", True), ("a", "b", False)],
)
def test_services_of_different_profiles_may_share_a_port(
    first: str, second: str, clash: bool, tmp_path: Path
) -> None:
    names = {"one": first, "two": second}
    services = {
        name: {"image": "app.example/app", "ports": ["80:80"]}
        | ({"profiles": [profile]} if profile else {})
        for name, profile in names.items()
    }
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"services": services}))
    assert [f.rule for f in findings(project_of(tmp_path), LintOptions())] == ["PPM002"] * clash


def test_interpolated_values_are_not_checked(tmp_path: Path) -> None:
    variables = {"REGISTRY_HTTP_ADDR": "${ADDRESS}", "REGISTRY_PROXY_USERNAME": "$USER"}
    service = {"image": "registry:3", "environment": variables, "ports": ["80:80"]}
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"services": {"cache": service}}))
    assert not findings(project_of(tmp_path), LintOptions())


@pytest.mark.parametrize("rule_id", ["PPS104", "PPS202", "PPS203", "PPS208"])
def test_a_report_does_not_pass_on_a_login(
    rule_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = FIXTURES / rule_id
    assert main(["lint", "--format", "sarif", str(root / "bad")]) == 1
    said = capsys.readouterr().out
    (good,) = (p.read_text() for p in (root / "good").iterdir())
    assert rule_id in said
    values = re.findall(r"[\w+/]{11,}=*|12345", good)
    assert values
    assert not [value for value in values if value in said and "docker" not in value]


# -- the models that read the same files --------------------------------------------------------
@pytest.mark.parametrize("rule_id", [i for i in _IDS if i.startswith(("PPD", "PPR"))])
@pytest.mark.parametrize("which", ["bad", "good"])
def test_what_the_models_reject_is_an_error(rule_id: str, which: str) -> None:
    said = findings(project_of(FIXTURES / rule_id / which, case_of(rule_id).paths), LintOptions())
    errors = [f.rule for f in said if f.severity == "error"]
    for path in (FIXTURES / rule_id / which).rglob("*"):
        try:
            if path.name == "daemon.json":
                read_daemon_json(path.read_text())
            elif path.suffix == ".conf":
                read_registries_conf(path.read_text())
        except InvalidDaemonJson:
            assert errors or rule_id == "PPD002"  # releases differ
        except InvalidRegistriesConf:
            assert errors


# -- hostile files ------------------------------------------------------------------------------
_ODD: tuple[Any, ...] = (None, "", "*", 7, True, [], {}, [None], {"a": [{}]}, "x" * 400)


@pytest.mark.parametrize("rule_id", _IDS)
def test_unexpected_values_never_raise(rule_id: str, tmp_path: Path) -> None:
    """Every value of the bad examples, replaced by values of other types."""
    root = FIXTURES / rule_id / "bad"
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        target = tmp_path / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        for text in _mutations(path):
            target.write_text(text)
            findings(project_of(tmp_path), LintOptions())
        target.write_text(path.read_text())


def _mutations(path: Path) -> Iterator[str]:
    text = path.read_text()
    if path.suffix in {".yaml", ".yml"} and path.name != "config.yml":
        documents = list(yaml.safe_load_all(text))
        yield from map(yaml.safe_dump_all, _changed(documents, turns=4))
    elif path.suffix in {".json", ".dockerconfigjson"}:
        yield from map(json.dumps, _changed(json.loads(text)))
    elif path.suffix == ".conf":
        yield from filter(None, map(_as_toml, _changed(tomlkit.parse(text).unwrap())))


def _as_toml(value: Any) -> str:
    try:
        return tomlkit.dumps(value)
    except (TypeError, ValueError):  # null, and lists of several kinds
        return ""


def _changed(value: Any, turns: int = 1) -> Iterator[Any]:
    """*value* with one value in it replaced, once for each place and replacement; in *turns* where
    there are many places, as neighbours are similar."""
    for number, place in enumerate(_places(value, ())):
        for odd in _ODD[number % turns :: turns]:
            yield _with(value, place, odd)


def _places(value: Any, here: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        yield (*here, key)
        if isinstance(child, dict | list):
            yield from _places(child, (*here, key))


def _with(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    key, *rest = place
    inner = _with(value[key], tuple(rest), new)
    if isinstance(value, dict):
        return {**value, key: inner}
    return [*value[:key], inner, *value[key + 1 :]]


_SECRET = (
    "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s%d}\nstringData: {.dockercfg: '{}'}\n"
)
_SMALL_POD = "---\napiVersion: v1\nkind: Pod\nspec: {containers: [{image: r%d.example/a}]}\n"


_MANY = "apiVersion: v1\nkind: Pod\nspec: {containers: [" + "{env: [{}]}," * 4_000 + "]}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("daemon.json", json.dumps({"registry-mirrors": ["http://m.example"] * 8_000})),
        ("daemon.json", json.dumps({"insecure-registries": ["10.0.0.0/8"] * 8_000})),
        ("config.json", json.dumps({"auths": {f"*.r{n}.example/v2": {} for n in range(8_000)}})),
        ("registries.conf", "[[registry]]\nlocation='a'\n" * 4_000),
        ("compose.yaml", "services:\n a:\n  image: a\n  ports:\n" + "  - 1-65535:1-65535\n" * 3000),
        ("compose.yaml", "services:\n" + " a%d: {image: registry:3, ports: ['80:80']}\n" * 1),
        ("all.yaml", "".join(_SECRET % n + _SMALL_POD % n for n in range(400))),
        ("secret.yaml", (_SECRET % 1).replace("x}", f"'{'[' * 100_000}'}}")),
        ("pod.yaml", _MANY),
    ],
    ids=range(9),
)  # fmt: skip
def test_large_files_take_seconds_at_most(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    begin = time.process_time()
    findings(project_of(tmp_path), LintOptions())
    assert time.process_time() - begin < 30
