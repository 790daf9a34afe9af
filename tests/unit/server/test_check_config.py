"""``check-config``: what it explains, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference_registry.__main__ import main
from reference_registry.config.explanation import explain
from reference_registry.config.file import load
from reference_registry.profiles import PROFILES
from tests.unit.server.config_cases import CASES, GOOD, ConfigCase

_CACHE = GOOD + "  draintimeout: 1m\nproxy:\n  remoteurl: https://u:p@h/sub\n  ttl: 48h\n"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULLPROOF_PROFILE", "REGISTRY_CONFIGURATION_PATH"):
        monkeypatch.delenv(name, raising=False)


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(text)
    return path


def _explained(tmp_path: Path, text: str, profile: str = "ideal") -> dict[str, list[str]]:
    config = load(_written(tmp_path, text), {}, PROFILES[profile])
    lines: dict[str, list[str]] = {}
    for subject, said in explain(config, PROFILES[profile]):
        lines.setdefault(subject, []).append(said)
    return lines


# -- how it ends --------------------------------------------------------------------------------
def test_a_file_to_be_content_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, GOOD)
    assert main(["check-config", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == f"{path}: can be served, nothing to warn of"
    assert captured.err == ""


def test_warnings_are_no_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, GOOD + "redis:\n  addr: h:1\n")
    assert main(["check-config", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"{path}:7: redis: nothing uses it; set storage.cache.blobdescriptor to redis, "
        "or remove it [redis-unused]",
        f"{path}: can be served, 1 warning",
    ]


def test_all_kinds_of_warnings_in_the_order_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a release: what it does not know, what it overlooks, and what follows from it."""
    text = "loglevel: debug\n" + GOOD + "proxi: {}\nproxy:\n  remoteURL: https://h\n"
    path = _written(tmp_path, text)
    assert main(["check-config", "--profile", "2.8", str(path)]) == 0
    warnings = capsys.readouterr().out.partition("\n\n")[2].splitlines()[:-1]
    assert [line.removeprefix(f"{path}:") for line in warnings] == [
        "1: loglevel: an old name; write it as level below log [old-name]",
        "8: proxi: unknown key; did you mean proxy? [overlooked]",
        "9: proxy: without remoteurl, in lower case, this is not a cache but a registry that "
        "accepts pushes; set proxy.remoteurl, or remove the section [writable-instead-of-a-cache]",
        "10: proxy.remoteURL: unknown key; did you mean remoteurl? [overlooked]",
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("profile", ["ideal", "2.8", "3.1"])
def test_it_refuses_what_serve_refuses(
    case: ConfigCase, profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code of the release, except where a release finds out by asking upstream."""
    path = _written(tmp_path, case.text)
    expected = (2 if case.said else 0) if profile == "ideal" else case.exit_codes[profile]
    code = main(["check-config", str(path), "--profile", profile])
    captured = capsys.readouterr()
    if "must answer at the start" in captured.out:
        expected = 0
    assert code == expected
    assert bool(captured.err) == bool(code)


def test_no_password_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "hunter2hunter2"
    text = (
        GOOD.replace("http:\n", f"http:\n  secret: {secret}\n")
        + f"proxy: {{remoteurl: 'https://u:{secret}@h', username: u, password: {secret}}}\n"
        + f"redis: {{addr: 'h:1', password: {secret}}}\n"
    )
    assert main(["check-config", "--profile", "3.1", str(_written(tmp_path, text))]) == 0
    assert secret not in capsys.readouterr().out


def test_lines_are_wrapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        [
            "check-config",
            str(
                _written(tmp_path, _CACHE),
            ),
            "--profile",
            "3.1",
        ]
    )
    explained = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    start = next(n for n, line in enumerate(explained) if line.startswith("expiry"))
    assert max(map(len, explained)) <= 100
    assert explained[start + 1] == " " * 14 + "bytes stay"


# -- what it explains ---------------------------------------------------------------------------
def test_a_standard_registry(tmp_path: Path) -> None:
    assert _explained(tmp_path, GOOD) == {
        "behaves like": ["ideal"],
        "registry": ["stores what is pushed to it, and fetches nothing from elsewhere"],
        "storage": ["files below /data"],
        "expiry": ["never; what is pushed stays until it is deleted"],
        "uploads": ["those abandoned for 168h are removed, looked for every 24h"],
        "may pull": ["everyone"],
        "may push": ["everyone"],
        "may delete": ["no one"],
        "listens": ["http://127.0.0.1:any free port/v2/, without TLS"],
        "end": ["SIGTERM and SIGINT let requests in flight finish, for 10s at most"],
        "log": ["info, text, on stderr; access log on stdout"],
    }


@pytest.mark.parametrize(
    ("profile", "subject", "said"),
    [
        ("2.8", "behaves like", "distribution 2.8"),
        ("2.8", "registry", "a cache of https://h/sub; takes no push"),
        ("ideal", "upstream", "asked without credentials; need not be there at the start"),
        ("3.1", "upstream", "asked without credentials; must answer at the start"),
        (
            "3.1",
            "expiry",
            "48h after it was cached, however often it is pulled, content is forgotten, and its "
            "bytes stay",
        ),
        (
            "ideal",
            "expiry",
            "48h after it was cached, however often it is pulled, content is deleted; kept track "
            "of in /data/scheduler-state.json",
        ),
        ("ideal", "may push", "no one"),
        ("2.8", "end", "SIGTERM (not SIGINT) let requests in flight finish, for 1m at most"),
    ],
)
def test_a_cache(profile: str, subject: str, said: str, tmp_path: Path) -> None:
    text = _CACHE.replace("u:p@", "") if profile == "ideal" else _CACHE
    assert _explained(tmp_path, text, profile)[subject] == [said]


_STORAGE = "\n  filesystem:\n    rootdirectory: /data\n"


@pytest.mark.parametrize(
    ("old", "new", "lines", "subject", "said"),
    [
        (_STORAGE, " inmemory\n", "", "storage", "in memory; all is lost at the end"),
        (
            _STORAGE,
            " inmemory\n",
            "proxy: {remoteurl: 'http://h'}",
            "expiry",
            "168h after it was cached, however often it is pulled, content is deleted",
        ),
        (
            "",
            "",
            "proxy: {remoteurl: 'http://h', ttl: 0}",
            "expiry",
            "never; what was cached stays",
        ),
        (
            "",
            "",
            "proxy: {remoteurl: 'http://h', exec: {command: x, lifetime: 12h}}",
            "upstream",
            "asked as the user that x names, remembered 12h; need not be there at the start",
        ),
        (
            "http:",
            "  cache: {blobdescriptor: inmemory}\nhttp:",
            "",
            "storage",
            "sizes of blobs are remembered in memory, 10000 at most",
        ),
        (
            "http:",
            "  cache: {blobdescriptor: redis}\nhttp:",
            "redis: {addr: 'h:1'}",
            "storage",
            "sizes of blobs are remembered in redis at h:1",
        ),
        (
            "http:",
            "  delete: {enabled: true}\nhttp:",
            "auth: {htpasswd: {realm: r, path: /p}}",
            "may delete",
            "users of /p (realm r)",
        ),
        (
            "",
            "",
            "auth: {token: {realm: 'https://r', service: s, issuer: me, jwks: /k}}",
            "may push",
            "holders of a token from me that allows it",
        ),
        (
            "http:",
            "  maintenance: {uploadpurging: {enabled: false}}\nhttp:",
            "",
            "uploads",
            "abandoned ones stay",
        ),
        (
            "http:",
            "  maintenance: {uploadpurging: {age: 1h, interval: 5m, dryrun: true}}\nhttp:",
            "",
            "uploads",
            "those abandoned for 1h are only named in the log, looked for every 5m",
        ),
        (
            "http:",
            "  maintenance: {readonly: {enabled: true}}\nhttp:",
            "",
            "may push",
            "no one",
        ),
        (
            "addr: 127.0.0.1:0",
            "addr: :5000\n  prefix: /pre/\n  host: https://mirror.test",
            "",
            "listens",
            "http://*:5000/pre/v2/ (known to clients as https://mirror.test), without TLS",
        ),
        (
            "addr: 127.0.0.1:0",
            "{addr: '[::1]:443', tls: {certificate: /c, key: /k, clientcas: [/ca]}}",
            "",
            "listens",
            "https://[::1]:443/v2/, TLS 1.2 or newer, HTTP/2",
        ),
        (
            "addr: 127.0.0.1:0",
            "{addr: ':443', tls: {certificate: /c, key: /k, clientcas: [/a, /b]}}",
            "",
            "may pull",
            "everyone with a certificate of /a, /b",
        ),
        (
            "addr: 127.0.0.1:0",
            "{net: unix, addr: /s}",
            "",
            "listens",
            "http on the socket /s, without TLS",
        ),
        (
            "addr: 127.0.0.1:0",
            "{addr: ':1', debug: {addr: 'h:2', prometheus: {enabled: true, path: /m}}}",
            "",
            "listens",
            "http://h:2 for /debug/health, /debug/vars, /m, open to everyone",
        ),
        (
            "",
            "",
            "health: {tcp: [{addr: 'h:1', interval: 5s}]}",
            "health",
            "tcp h:1, every 5s; while it fails, all requests are 503",
        ),
        (
            "",
            "",
            "log: {level: warn, formatter: json, accesslog: {disabled: true}}",
            "log",
            "warn, json, on stderr; no access log",
        ),
    ],
)
def test_one_thing_set(
    old: str, new: str, lines: str, subject: str, said: str, tmp_path: Path
) -> None:
    text = (GOOD.replace(old, new) if old else GOOD) + lines
    assert said in _explained(tmp_path, text)[subject]
