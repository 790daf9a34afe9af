"""Reading config.yml: values, errors and exit codes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reference_registry.config import (
    Config,
    ExecConfig,
    HttpConfig,
    ProxyConfig,
    RedisConfig,
    RedisTlsConfig,
    StorageConfig,
    TokenConfig,
)
from reference_registry.config.file import LARGEST_FILE, load, read
from reference_registry.config.problem import ConfigError
from reference_registry.profiles import IDEAL, PROFILES, Profile
from tests.unit.server.config_cases import CASES, GOOD, ConfigCase


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yml"
    path.write_bytes(text.encode())
    return path


def _loaded(tmp_path: Path, text: str, profile: str = "ideal") -> Config:
    return load(_written(tmp_path, text), {}, PROFILES[profile])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_errors_of_ideal(case: ConfigCase, tmp_path: Path) -> None:
    path = _written(tmp_path, case.text)
    found = read(path, {}, IDEAL)
    said = [str(problem).replace(f"{path}:", "") for problem in found.errors]
    assert said == ([] if case.said is None else [case.said])
    assert {problem.exit_code for problem in found.errors} <= {2}
    assert (found.config is None) == (case.said is not None)


@pytest.mark.parametrize("profile", ["2.8", "3.1"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_exit_codes_of_a_release(case: ConfigCase, profile: str, tmp_path: Path) -> None:
    found = read(_written(tmp_path, case.text), {}, PROFILES[profile])
    code = ConfigError(found.errors).exit_code if found.errors else 0
    if not found.errors and found.config is not None and found.config.proxy is not None:
        code = 2  # a release exits when upstream is down
    assert code == case.exit_codes.get(profile, code)


def test_all_mistakes_of_a_file_are_found_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("version: 0.1", "version:0.1").replace("127.0.0.1:0", "80") + "prox:\n"
    with pytest.raises(ConfigError) as failure:
        _loaded(tmp_path, text)
    assert [problem.key for problem in failure.value.problems] == ["version", "http.addr", "prox"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file; give the path of a config.yml"),
        (lambda path: path.mkdir(), "a directory; give the path of a config.yml"),
        (lambda path: path.write_bytes(b"version: \xff"), "not UTF-8 text; save it as UTF-8"),
        (
            lambda path: path.write_bytes(b"#" * (LARGEST_FILE + 1)),
            f"larger than {LARGEST_FILE} bytes; is it the right file?",
        ),
    ],
)
def test_files_that_cannot_be_read(make: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    assert callable(make)
    make(path)
    for profile, code in ((IDEAL, 2), (PROFILES["2.8"], 1)):
        with pytest.raises(ConfigError) as failure:
            load(path, {}, profile)
        assert str(failure.value) == f"{path}: configuration: {message}"
        assert failure.value.exit_code == code


_HOSTILE = {
    "billion laughs": "x-0: &a0 [lol, lol]\n"
    + "".join(f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)),
    "billion merges": "x-0: &a0 {k: v}\n"
    + "".join(f"x-{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 200)),
    "many keys": "x-keys:\n" + "".join(f"  k{n}: {n}\n" for n in range(2000)),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_repeated_aliases_are_cheap(name: str, tmp_path: Path) -> None:
    assert _loaded(tmp_path, GOOD + _HOSTILE[name]).http.addr == "127.0.0.1:0"


_SECRET = "hunter2hunter2"
_LEAKS = [
    "http:\n  secret:hunter2hunter2\nlog: {}\n",
    "redis:\n  addr: 127.0.0.1:9\n  password:hunter2hunter2\nlog: {}\n",
    "proxy:\n  remoteurl: http://h\n  password: *hunter2hunter2\n",
    "proxy:\n  remoteurl: http://h\n  password: [hunter2hunter2]\n",
    "proxy:\n  remoteurl: http://h\n  password: {a: hunter2hunter2}\n",
    "proxy:\n  remoteurl: http://u:hunter2hunter2@h\n",
    "proxy:\n  remoteurl: u:hunter2hunter2@h\n",
    "proxy:\n  remoteurl: http://h\n  password: '${hunter2hunter2}'\n  x\n",
    "proxy:\n  remoteurl: http://h\n  password: %hunter2hunter2\n",
    "proxy:\n  remoteurl: http://h\n  password: !hunter2hunter2!x y\n",
    "proxy:\n  remoteurl: http://h\n  password: 'hunter2hunter2\n",
]


@pytest.mark.parametrize("lines", _LEAKS)
def test_no_message_shows_a_password(lines: str, tmp_path: Path) -> None:
    found = read(_written(tmp_path, GOOD + lines), {}, IDEAL)
    assert found.errors
    assert not [str(problem) for problem in found.problems if _SECRET in str(problem)]


# -- values -------------------------------------------------------------------------------------
_EVERYTHING = """
version: 0.1
log:
  level: debug
  formatter: json
  fields: {service: registry, replica: 3}
  accesslog: {disabled: true}
storage:
  filesystem: {rootdirectory: /srv, maxthreads: 100}
  delete: {enabled: true}
  redirect: {disable: false}
  tag: {concurrencylimit: 8}
  cache: {blobdescriptor: redis}
  maintenance:
    uploadpurging: {enabled: true, age: 24h, interval: 1h, dryrun: true}
    readonly: {enabled: true}
redis:
  addr: 127.0.0.1:6379
  password: secret-one
  db: 3
  dialtimeout: 10ms
  readtimeout: 20ms
  pool: {maxidle: 16, maxactive: 64, idletimeout: 300s}
proxy:
  remoteurl: https://registry.test
  username: user
  password: secret-two
  ttl: 48h
http:
  addr: :5000
  net: tcp
  host: https://mirror.test
  prefix: /pre/
  secret: secret-three
  relativeurls: true
  draintimeout: 60s
  headers: {X-Content-Type-Options: [nosniff]}
  tls: {certificate: /c.pem, key: /k.pem, clientcas: [/a.pem, /b.pem], minimumtls: tls1.3}
  http2: {disabled: true}
  debug: {addr: ":5001", prometheus: {enabled: true, path: /m}}
health:
  storagedriver: {enabled: true, interval: 5s, threshold: 3}
  file: [{file: /stop, interval: 1s}]
  http: [{uri: "http://h/", headers: {A: [b]}, statuscode: 204, timeout: 3s, threshold: 2}]
  tcp: [{addr: "h:1", timeout: 4s}]
auth:
  htpasswd: {realm: basic-realm, path: /htpasswd}
catalog: {maxentries: 50}
tags: {maxtags: 60}
"""


def test_every_value_is_read(tmp_path: Path) -> None:
    config = _loaded(tmp_path, _EVERYTHING)
    assert config.log.level == "debug"
    assert config.log.formatter == "json"
    assert config.log.fields == {"service": "registry", "replica": "3"}
    assert config.log.accesslog_disabled
    storage = config.storage
    assert (storage.driver, storage.rootdirectory) == ("filesystem", Path("/srv"))
    assert (storage.delete_enabled, storage.readonly) == (True, True)
    assert storage.cache.blobdescriptor == "redis"
    assert storage.uploadpurging.age == timedelta(hours=24)
    assert storage.uploadpurging.interval == timedelta(hours=1)
    assert storage.uploadpurging.dryrun
    assert config.redis == RedisConfig(
        addr="127.0.0.1:6379",
        password="secret-one",
        db=3,
        dialtimeout=timedelta(milliseconds=10),
        readtimeout=timedelta(milliseconds=20),
        pool_maxactive=64,
    )
    assert config.proxy == ProxyConfig(
        remoteurl="https://registry.test",
        username="user",
        password="secret-two",
        ttl=timedelta(hours=48),
    )
    http = config.http
    assert (http.addr, http.net, http.host) == (":5000", "tcp", "https://mirror.test")
    assert (http.prefix, http.secret, http.relativeurls) == ("/pre/", "secret-three", True)
    assert http.draintimeout == timedelta(seconds=60)
    assert http.headers == {"X-Content-Type-Options": ("nosniff",)}
    assert http.tls is not None
    assert http.tls.clientcas == (Path("/a.pem"), Path("/b.pem"))
    assert http.tls.minimumtls == "tls1.3"
    assert http.debug is not None
    assert (http.debug.addr, http.debug.prometheus_path) == (":5001", "/m")
    assert [(c.kind, c.target, c.threshold) for c in config.health.checks] == [
        ("storagedriver", "", 3),
        ("file", "/stop", 0),
        ("http", "http://h/", 2),
        ("tcp", "h:1", 0),
    ]
    probe = config.health.checks[2]
    assert (probe.statuscode, probe.headers) == (204, {"A": ("b",)})
    assert (probe.timeout, probe.interval) == (timedelta(seconds=3), timedelta(seconds=10))
    assert config.auth.htpasswd is not None
    assert config.auth.htpasswd.realm == "basic-realm"
    assert (config.catalog_maxentries, config.tags_maxtags) == (50, 60)


def test_defaults_are_those_of_the_model(tmp_path: Path) -> None:
    assert _loaded(tmp_path, GOOD) == Config(
        storage=StorageConfig(rootdirectory=Path("/data")), http=HttpConfig(addr="127.0.0.1:0")
    )


@pytest.mark.parametrize(
    ("profile", "ttl", "expected"),
    [
        ("ideal", "", timedelta(hours=168)),
        ("ideal", "ttl:", timedelta(hours=168)),
        ("ideal", "ttl: 48h", timedelta(hours=48)),
        ("ideal", "ttl: 0", None),
        ("ideal", "ttl: '0'", None),
        ("ideal", "ttl: 0s", None),
        ("2.8", "ttl: 48h", timedelta(hours=168)),
        ("2.8", "ttl: 0", timedelta(hours=168)),
        ("2.8", "ttl: abc", timedelta(hours=168)),
        ("3.0.0-alpha.1", "ttl: 1h", timedelta(hours=1)),
        ("3.0", "ttl: 0", None),
        ("3.1", "ttl: -1h", None),
        ("3.1", "ttl: 10", timedelta(microseconds=1)),
        ("3.1", "", timedelta(hours=168)),
    ],
)
def test_ttl(profile: str, ttl: str, expected: timedelta | None, tmp_path: Path) -> None:
    """#3880 and odd values under each release."""
    config = _loaded(tmp_path, f"{GOOD}proxy:\n  remoteurl: https://h\n  {ttl}\n", profile)
    assert config.proxy is not None
    assert config.proxy.ttl == expected


@pytest.mark.parametrize(
    ("profile", "key", "found"),
    [
        ("2.8", "addr: h:1", "h:1"),
        ("2.8", "addrs: [h:1]", None),
        ("3.0", "addr: h:1", None),
        ("3.0", "addrs: [h:1, g:1]", "h:1"),
        ("ideal", "addr: h:1", "h:1"),
        ("ideal", "addrs: [h:1]", "h:1"),
    ],
)
def test_redis_address(profile: str, key: str, found: str | None, tmp_path: Path) -> None:
    redis = _loaded(tmp_path, f"{GOOD}redis:\n  {key}\n", profile).redis
    assert (redis.addr if redis else None) == found


@pytest.mark.parametrize(
    ("profile", "key", "overlooked"),
    [
        ("2.8", "username: u", ["redis.username"]),
        ("2.8", "tls: {enabled: true}", ["redis.tls"]),
        ("2.8", "poolsize: 3", ["redis.poolsize"]),
        ("3.0.0-alpha.1", "username: u", []),
        ("3.0.0-alpha.1", "tls: {enabled: true}", ["redis.tls"]),
        ("3.0", "tls: {rootcas: [/r]}", ["redis.tls.rootcas"]),
        ("3.1", "tls: {rootcas: [/r]}", []),
        ("3.1", "pool: {maxactive: 3}", ["redis.pool"]),
        ("3.1", "tls: {key: /k}", ["redis.tls.certificate"]),
    ],
)
def test_what_a_release_does_not_know_of_redis(
    profile: str, key: str, overlooked: list[str], tmp_path: Path
) -> None:
    address = "addrs: ['h:1']" if profile in {"3.0", "3.1"} else "addr: 'h:1'"
    text = f"{GOOD}redis: {{{address}, {key}}}"
    found = read(_written(tmp_path, text), {}, PROFILES[profile])
    assert found.errors == ()
    assert [problem.key for problem in found.overlooked] == overlooked


@pytest.mark.parametrize(
    ("profile", "lines", "expected"),
    [
        ("ideal", "", None),
        ("ideal", "enabled: false", None),
        ("ideal", "enabled: true", RedisTlsConfig()),
        ("ideal", "rootcas: [/r, /s]", RedisTlsConfig(rootcas=(Path("/r"), Path("/s")))),
        ("3.1", "rootcas: [/r]", RedisTlsConfig(rootcas=(Path("/r"),))),
        ("3.1", "certificate: /c", RedisTlsConfig()),
        ("3.0", "rootcas: [/r]", None),
        (
            "3.0",
            "certificate: /c, key: /k, clientcas: [/a]",
            RedisTlsConfig(certificate=Path("/c"), key=Path("/k")),
        ),
    ],
)
def test_tls_to_redis(
    profile: str, lines: str, expected: RedisTlsConfig | None, tmp_path: Path
) -> None:
    text = f"{GOOD}redis: {{addrs: ['h:1'], tls: {{{lines}}}}}"
    redis = _loaded(tmp_path, text, profile).redis
    assert redis is not None
    assert redis.tls == expected


def _warnings(tmp_path: Path, text: str, profile: Profile) -> list[str]:
    return [p.key for p in read(_written(tmp_path, text), {}, profile).warnings]


def test_warnings_of_what_has_no_effect(tmp_path: Path) -> None:
    text = (
        GOOD
        + "loglevel: debug\nnotifications: {endpoints: []}\nmiddleware: {storage: []}\n"
        + "log: {hooks: [{type: mail}]}\nredis: {addr: 'h:1', protocol: 3}\n"
    )
    keys = ["loglevel", "notifications", "middleware", "log.hooks", "redis.protocol"]
    assert _warnings(tmp_path, text, IDEAL) == keys


def test_warnings_of_what_a_release_does_not_do(tmp_path: Path) -> None:
    text = (
        GOOD
        + "proxy:\n  remoteurl: https://h\n  ttl: 1h\ntags:\n  maxtags: 5\n"
        + "health:\n  storagedriver:\n    interval: 5s\n"
    )
    found = read(_written(tmp_path, text), {}, PROFILES["2.8"])
    assert [(problem.key, problem.what) for problem in found.warnings] == [
        ("proxy.ttl", "2.8 does not know this key, everything is kept for 168h"),
        ("tags.maxtags", "this release has no such limit"),
        ("health.storagedriver.interval", "the check is off unless enabled is true"),
    ]
    assert _warnings(tmp_path, text, IDEAL) == ["health.storagedriver.interval"]


_OVERLOOKED = {
    "proxy: {remoteURL: 'https://h'}": [("proxy", "remoteURL", "unknown key")],
    "proxy: {username: u}": [
        ("proxy", "remoteurl", "missing, which makes a plain registry that can be pushed to")
    ],
    "storage.delete: {enabled: 'true'}": [("", "storage.delete", "unknown key")],
    "health: {storagedriver: {enabled: true, enabled: false}}": [
        ("health.storagedriver", "enabled", "given twice, first on line 7")
    ],
    "health: {storagedriver: {enabled: true, interval: 5}}": [
        ("health.storagedriver", "interval", "a bare number is nanoseconds")
    ],
    "redis: {db: 1}": [("redis", "addrs", "missing")],
}


@pytest.mark.parametrize("lines", _OVERLOOKED)
def test_what_a_release_overlooks(lines: str, tmp_path: Path) -> None:
    """Each is an error under ``ideal``, with the same text."""
    path = _written(tmp_path, GOOD + lines)
    found = read(path, {}, PROFILES["3.1"])
    assert found.config is not None
    expected = [(f"{section}.{key}".lstrip("."), what) for section, key, what in _OVERLOOKED[lines]]
    assert [(problem.key, problem.what) for problem in found.overlooked] == expected
    assert {problem.rule for problem in found.overlooked} == {"overlooked"}
    strict = read(path, {}, IDEAL)
    assert strict.overlooked == ()
    assert {problem.what for problem in found.overlooked} & {p.what for p in strict.errors}


@pytest.mark.parametrize(
    ("profile", "lines", "minimum"),
    [
        ("ideal", "minimumtls: tls1.3", "tls1.3"),
        ("2.8", "minimumtls: tls1.0", "tls1.2"),
        ("ideal", "clientcas: [/ca], clientauth: require-and-verify-client-cert", "tls1.2"),
        ("2.8", "clientcas: [/ca], clientauth: maybe", "tls1.2"),
    ],
)
def test_tls(profile: str, lines: str, minimum: str, tmp_path: Path) -> None:
    text = f"{GOOD}  tls: {{certificate: /c, key: /k, {lines}}}\n"
    tls = _loaded(tmp_path, text, profile).http.tls
    assert tls is not None
    assert tls.minimumtls == minimum


@pytest.mark.parametrize("profile", ["3.0", "3.1", "ideal"])
@pytest.mark.parametrize(
    ("lines", "lifetime"),
    [("", None), (", lifetime: 0", timedelta(0)), (", lifetime: 12h", timedelta(hours=12))],
)
def test_exec(profile: str, lines: str, lifetime: timedelta | None, tmp_path: Path) -> None:
    text = f"{GOOD}proxy: {{remoteurl: 'https://h', exec: {{command: docker-credential-x{lines}}}}}"
    proxy = _loaded(tmp_path, text, profile).proxy
    assert proxy is not None
    assert proxy.exec == ExecConfig(command="docker-credential-x", lifetime=lifetime)


def test_exec_takes_precedence_over_username(tmp_path: Path) -> None:
    text = f"{GOOD}proxy: {{remoteurl: 'https://h', username: u, exec: {{command: x}}}}"
    assert _warnings(tmp_path, text, IDEAL) == ["proxy.username"]


# -- auth.token ---------------------------------------------------------------------------------
_TOKEN = "realm: 'https://a/t', service: s, issuer: i"


def _token(tmp_path: Path, lines: str, profile: str = "ideal") -> TokenConfig:
    token = _loaded(tmp_path, f"{GOOD}auth: {{token: {{{lines}}}}}\n", profile).auth.token
    assert token is not None
    return token


def test_token(tmp_path: Path) -> None:
    lines = (
        f"{_TOKEN}, rootcertbundle: /c, jwks: /k, autoredirect: true, autoredirectpath: /p, "
        "signingalgorithms: [ES256, EdDSA]"
    )
    assert _token(tmp_path, lines) == TokenConfig(
        realm="https://a/t",
        service="s",
        issuer="i",
        rootcertbundle=Path("/c"),
        jwks=Path("/k"),
        autoredirect=True,
        autoredirectpath="/p",
        signingalgorithms=("ES256", "EdDSA"),
    )


def test_what_a_release_knows_of_tokens(tmp_path: Path) -> None:
    lines = f"{_TOKEN}, rootcertbundle: /c, jwks: /k, autoredirectpath: /p, signingalgorithms: [x]"
    plain = TokenConfig(realm="https://a/t", service="s", issuer="i", rootcertbundle=Path("/c"))
    assert _token(tmp_path, lines, "2.8") == plain
    assert _token(tmp_path, lines, "3.0.0-alpha.1") == replace(plain, jwks=Path("/k"))


def test_algorithms_with_a_shared_secret_are_useless(tmp_path: Path) -> None:
    lines = f"auth: {{token: {{{_TOKEN}, jwks: /k, signingalgorithms: [HS256]}}}}"
    assert _warnings(tmp_path, GOOD + lines, IDEAL) == ["auth.token.signingalgorithms"]
