"""The command on broken and hostile files, with limits on time and memory that the system enforces:
one finding each, an exit code, no traceback, no control characters."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_SECONDS = 20
_BYTES = 512 << 20
_LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_CPU, ({_SECONDS}, {_SECONDS}))
resource.setrlimit(resource.RLIMIT_AS, ({_BYTES}, {_BYTES}))
from harness.cli import script
script()
"""
_RAW = re.compile(b"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae")
_POD = "apiVersion: v1\nkind: Pod\n"
_CONFIG = "version: 0.1\nstorage: {inmemory: {}}\n"


def lint(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-B", "-c", _LIMITED, "lint", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, timeout=5 * _SECONDS)


def _laughs(first: str) -> str:
    lines = [f"{first}a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for old, new in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]")
    return "\n".join(lines) + "\n"


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _text(content: str | bytes) -> Callable[[Path], object]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(raw)


def _link(to: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(to)


CASES: dict[str, tuple[str, Callable[[Path], object], str, int]] = {
    "fifo": ("hosts.toml", _fifo, "PPX006", 2),
    "device": ("config.yml", _link("/dev/zero"), "PPX007", 1),
    "link to itself": ("hosts.toml", _link("hosts.toml"), "PPX007", 1),
    "loop of directories": ("loop.toml", _link(".."), "PPX007", 1),
    "10 MB of TOML": ("config.toml", _text("a = 1\n" * (10 << 18)), "PPX004", 2),
    "half a MB of YAML": ("pod.yaml", _text(_POD + "# x\n" * (1 << 17)), "PPX004", 2),
    "long key": ("config.toml", _text("a." * 5000 + "b = 1\n"), "PPX003", 1),
    "deep TOML": ("config.toml", _text("a = " + "[" * 5000), "PPX005", 2),
    "deep JSON": ("daemon.json", _text('{"a":' * 100_000), "PPX005", 2),
    "deep YAML": ("pod.yaml", _text(_POD + "a: " + "{a: " * 20_000), "PPX005", 2),
    "deep blocks": ("pod.yaml", _text(_POD + "a:\n  " + "- " * 20_000), "PPX005", 2),
    "laughs": ("pod.yaml", _text(_laughs(_POD)), "PPX005", 2),
    "alias of itself": ("pod.yaml", _text(f"{_POD}a: &a [*a]\n"), "PPX005", 2),
}
_MISUSE = {"no such path": ["absent"], "release": ["--containerd", "0.1", "/dev/null"]}


@pytest.mark.parametrize("case", CASES)
def test_one_finding_and_an_exit_code(case: str, tmp_path: Path) -> None:
    name, make, rule, code = CASES[case]
    directory = tmp_path / "up.example"
    directory.mkdir()
    make(directory / name)
    for arguments in (["-q"], ["-q", "--fix"]):
        ran = lint(*arguments, tmp_path)
        assert ran.stderr == b""
        assert [line[-7:-1].decode() for line in _errors_and_warnings(ran.stdout)] == [rule]
        assert ran.returncode == code


def _errors_and_warnings(said: bytes) -> list[bytes]:
    """Errors and warnings, without the releases at the end."""
    lines = [re.sub(rb" \[(containerd|registry) [^\]]*\]$", b"", s) for s in said.splitlines()]
    return [line for line in lines if b": info: " not in line]


@pytest.mark.parametrize("arguments", _MISUSE.values(), ids=_MISUSE)
def test_misuse_is_one_line(arguments: list[str]) -> None:
    ran = lint(*arguments)
    assert (ran.returncode, ran.stdout, ran.stderr.count(b"\n")) == (2, b"", 1)


def test_laughs_in_a_config_yml_are_read_but_not_fixed(tmp_path: Path) -> None:
    """The reader ignores unknown keys; lint does not edit a file whose aliases expand too far."""
    (tmp_path / "config.yml").write_text(_CONFIG + _laughs("") + "http: {addr: 80}\n")
    ran = lint("--fix", "--select", "PPC002", tmp_path)
    assert (ran.returncode, ran.stderr) == (1, b"")
    assert b"not fixed: aliases expand to too many values" in ran.stdout


def test_names_that_are_commands_are_escaped(tmp_path: Path) -> None:
    evil = tmp_path / "certs.d" / "\x1b]0;x\x07\n::error::\u202e\x9b2J.example"
    evil.mkdir(parents=True)
    (evil / "hosts.toml").write_text('server = "https://docker.io"\n[host]\n')
    (tmp_path / "certs.d" / os.fsdecode(b"\xff\xfe.example")).mkdir()
    for form in ("text", "json", "sarif", "github"):
        ran = lint("--format", form, tmp_path)
        assert (ran.returncode, ran.stderr) == (1, b"")
        assert not _RAW.search(ran.stdout)
        assert b"\n::error::" not in ran.stdout
    ran = lint("--fix", "-q", tmp_path, evil / "absent\x1b[2J")
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert not _RAW.search(ran.stderr)
    assert lint("--fix", evil).returncode == 0


def test_a_tree_with_too_many_names_is_read_in_part(tmp_path: Path) -> None:
    for number in range(21_000):
        (tmp_path / f"{number}.txt").touch()
    ran = lint("-q", tmp_path)
    assert (ran.returncode, ran.stderr) == (1, b"")
    assert ran.stdout.endswith(b"[PPX011]\n")
    assert ran.stdout.count(b"\n") == 1


def test_a_thousand_mistakes_in_one_file_are_fixed_in_time(tmp_path: Path) -> None:
    wrong = 'capabilities = ["pull", "resolve"]\nskip_verify = "false"\n'
    text = "".join(f'[host."https://m{n}.example"]\n{wrong}' for n in range(1000))
    (tmp_path / "hosts.toml").write_text(text)
    ran = lint("--fix", "--select", "PPH005", tmp_path)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"1000 fixed" in ran.stdout
    assert (tmp_path / "hosts.toml").read_text() == text.replace('"false"', "false")
