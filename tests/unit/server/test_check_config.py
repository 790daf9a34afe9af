"""``check-config``: explanations, warnings and exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reference_registry.__main__ import main
from reference_registry.config.explanation import explain
from reference_registry.config.file import load
from reference_registry.profiles import PROFILES
from tests.unit.server.config_cases import CASES, GOOD, ConfigCase


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULLPROOF_PROFILE", "REGISTRY_CONFIGURATION_PATH"):
        monkeypatch.delenv(name, raising=False)


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(text)
    return path


# -- exit codes --------------------------------------------------------------------------------
def test_a_file_without_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, GOOD)
    assert main(["check-config", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == f"{path}: can be served, nothing to warn of"
    assert captured.err == ""


def test_warnings_exit_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    """Under a release: unknown keys, overlooked ones, and rules."""
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


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.exit_codes][::3], ids=lambda case: case.name
)
@pytest.mark.parametrize("profile", ["ideal", "2.8"])
def test_it_refuses_what_serve_refuses(
    case: ConfigCase, profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code of the release, except where a release finds out by asking upstream."""
    path = _written(tmp_path, case.text)
    expected = case.exit_codes.get(profile, 2 if case.said else 0)
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
    text = GOOD + "proxy: {remoteurl: 'https://h', ttl: 48h}\n"
    main(["check-config", str(_written(tmp_path, text)), "--profile", "3.1"])
    explained = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    start = next(n for n, line in enumerate(explained) if line.startswith("expiry"))
    assert max(map(len, explained)) <= 100
    assert explained[start + 1] == " " * 14 + "bytes stay"


# -- what it explains ---------------------------------------------------------------------------
def _explanations() -> Iterator[tuple[str, str, str, str]]:
    """Profile, name, file and explanation of each case in ``explain_cases.txt``."""
    for block in Path(__file__).with_name("explain_cases.txt").read_text().split("\n## ")[1:]:
        head, _, rest = block.partition("\n")
        profile, _, name = head.partition(" ")
        text, _, explained = rest.partition("=>\n")
        yield profile, name, text, explained


@pytest.mark.parametrize(("profile", "name", "text", "explained"), list(_explanations()))
def test_explanation(profile: str, name: str, text: str, explained: str, tmp_path: Path) -> None:
    config = load(_written(tmp_path, text), {}, PROFILES[profile])
    lines = [f"{subject}: {said}" for subject, said in explain(config, PROFILES[profile])]
    assert lines == explained.strip().splitlines()
