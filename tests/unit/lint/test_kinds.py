"""The kind of a file, from its name and content; other files are ignored."""

from __future__ import annotations

import time

import pytest

from harness.nodes.lint.kinds import Kind, kind_of

_POD = "apiVersion: v1\nkind: Pod\n"
_SERVICES = "services:\n  cache:\n    image: registry:3\n"
_CONFIG = "version: 0.1\nstorage: {}\n"
_AUTHS = '{"auths": {}}'


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("pod.yaml", _POD, Kind.KUBERNETES),
        ("all.yml", f"---\n# both\n{_POD}---\n{_POD}", Kind.KUBERNETES),
        ("pod.json", '{"kind": "Pod", "apiVersion": "v1"}', Kind.KUBERNETES),
        ("secret.json", f'{{"apiVersion": "v1", "stringData": {_AUTHS}}}', Kind.KUBERNETES),
        ("alerts.yaml", f'{_POD}metadata:\n  name: "{{{{ $labels.pod }}}}"\n', Kind.KUBERNETES),
        ("docker-compose.yml", "cache:\n  image: registry:3\n", Kind.COMPOSE),
        ("compose.override.yaml", _SERVICES, Kind.COMPOSE),
        ("stack.yml", _SERVICES, Kind.COMPOSE),
        ("config.yml", _CONFIG, Kind.REGISTRY),
        ("config.yml", "version:0.1\nstorage: {}\n", Kind.REGISTRY),
        ("config.yml", "storage: {}\nhttp: {}\n", Kind.REGISTRY),
        ("cache.yaml", _CONFIG, Kind.REGISTRY),
        ("daemon.json", "{}", Kind.DAEMON),
        ("docker.json", '{"registry-mirrors": []}', Kind.DAEMON),
        (".docker/config.json", _AUTHS, Kind.LOGINS),
        ("pull.dockerconfigjson", "{}", Kind.LOGINS),
        (".dockercfg", "{}", Kind.LOGINS),
        ("registries.conf", "", Kind.REGISTRIES),
        ("registries.conf.d/50-mirror.conf", "", Kind.REGISTRIES),
        ("mirrors.conf", '[[registry]]\nlocation = "r.example"\n', Kind.REGISTRIES),
        ("registries.conf.d/shortnames.conf", "[aliases]\n", Kind.REGISTRIES),
        ("node.toml", '[plugins."io.containerd.grpc.v1.cri".registry]\n', Kind.CONTAINERD),
        ("mirror.toml", '[host."https://m.example"]\n', Kind.HOSTS),
    ],
)
def test_known(path: str, text: str, kind: Kind) -> None:
    assert kind_of(f"/somewhere/{path}", text) is kind


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("values.yaml", f"{_SERVICES}storage: 10Gi\nhttp:\n  port: 80\n"),
        ("values-prod.yaml", "apiVersion: v1\nstorage:\n  class: fast\n"),
        ("Chart.yaml", "apiVersion: v2\nname: cache\nversion: 0.1\n"),
        ("templates/pod.yaml", _POD + "metadata:\n  name: {{ .Release.Name }}\n"),
        ("templates/pod.yaml", "{{- if .Values.on }}\n" + _POD + "{{- end }}\n"),
        (".github/workflows/ci.yml", f"on: push\njobs:\n  test:\n    {_SERVICES}"),
        (".gitlab-ci.yml", f"stages: [test]\n{_SERVICES}"),
        ("services.yaml", "services:\n  _defaults:\n    autowire: true\n"),
        ("traefik/config.yml", "http:\n  routers: {}\n"),
        ("openapi.yaml", "openapi: 3.1.0\ninfo:\n  version: 0.1\n"),
        ("mkdocs.yml", "site_name: x\nstorage: {}\n"),
        ("pubspec.yaml", "name: x\nversion: 0.1.2\nstorage: {}\n"),
        ("package.json", '{"name": "x", "config": {"apiVersion": "v1"}}'),
        ("pyproject.toml", '[database]\nserver = "db.example"\n[tool.host]\n'),
        ("release.toml", "[notes]\n[breaking]\n"),
        ("nginx.conf", "server {\n}\n"),
    ],
)
def test_foreign(path: str, text: str) -> None:
    assert kind_of(f"/somewhere/{path}", text) is None


@pytest.mark.parametrize("name", ["a.yaml", "config.yml", "a.json", "a.toml", "a.conf"])
@pytest.mark.parametrize("text", ["\n", " ", "{", "[", ":", "-", "a:\n", "services:\n ", ": {{"])
def test_time_is_linear(name: str, text: str) -> None:
    text *= (1 << 20) // len(text)
    begin = time.process_time()
    kind_of(f"/{name}", text)
    assert time.process_time() - begin < 2
