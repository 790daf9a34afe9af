"""``pullproof lint --fix`` and ``--diff`` as commands, on real files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.nodes.lint import reading
from harness.nodes.lint.engine import LintOptions
from harness.nodes.lint.fix.repair import Repair, repaired
from harness.nodes.lint.reading import replace_all
from tests.unit.lint.cases import project_of

_BAD = b'server = "https://docker.io"  # \xc3\xa9\r\n[host]\r\n# end'
_GOOD = b'server = "https://registry-1.docker.io"  # \xc3\xa9\r\n[host]\r\n# end'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "certs.d" / "docker.io" / "hosts.toml"
    found.parent.mkdir(parents=True)
    found.write_bytes(_BAD)
    return found


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_mode_owner_and_attributes_are_kept_and_nothing_is_left_over(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 12, 34)
    try:
        os.setxattr(file, "user.x", b"y")
    except OSError:
        attributes = []
    else:
        attributes = ["user.x"]
    before = file.stat()
    assert main(["lint", "--fix", str(file)]) == 0
    assert "fixed" in capsys.readouterr().out
    assert file.read_bytes() == _GOOD
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid
    )  # fmt: skip
    assert os.listxattr(file) == attributes
    assert _names(file.parent) == ["hosts.toml"]


def test_a_good_file_is_not_written(file: Path) -> None:
    file.write_bytes(_GOOD)
    before = file.stat()
    assert main(["lint", "--fix", str(file)]) == 0
    assert file.stat().st_ino == before.st_ino
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def _repairs(root: Path) -> tuple[Repair, ...]:
    return repaired(project_of(root, (".",)), LintOptions()).repairs


def test_a_file_that_changed_in_the_meantime_is_not_overwritten(file: Path, tmp_path: Path) -> None:
    repairs = _repairs(tmp_path)
    file.write_bytes(b"# new\n" + _BAD)
    assert replace_all(repairs, [str(tmp_path)]) == {str(file): "it changed in the meantime"}
    assert file.read_bytes() == b"# new\n" + _BAD
    assert _names(file.parent) == ["hosts.toml"]


def test_a_file_that_changes_while_the_new_one_is_written_is_not_overwritten(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = reading._write

    def interrupted(*arguments: Any) -> None:
        write(*arguments)
        other = file.with_name("other")  # the same content, but a new file
        other.write_bytes(_BAD)
        other.rename(file)

    monkeypatch.setattr(reading, "_write", interrupted)
    failed = replace_all(_repairs(tmp_path), [str(tmp_path)])
    assert failed == {str(file): "it changed in the meantime"}
    assert _names(file.parent) == ["hosts.toml"]


def test_a_link_within_the_tree_is_followed_and_stays_a_link(file: Path, tmp_path: Path) -> None:
    real = file.rename(file.with_name("..data.toml"))
    file.symlink_to(real.name)
    assert main(["lint", "--fix", str(tmp_path)]) == 0
    assert file.is_symlink()
    assert real.read_bytes() == _GOOD


def test_a_link_out_of_the_tree_is_not_written_to(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = file.rename(tmp_path / "outside.toml")
    file.symlink_to(outside)
    main(["lint", "--fix", str(tmp_path / "certs.d")])
    assert outside.read_bytes() == _BAD
    assert main(["lint", "--fix", str(file)]) == 2
    assert "a link: give the file that it points to" in capsys.readouterr().err
    assert outside.read_bytes() == _BAD


def test_a_hard_link_is_not_replaced(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.link(file, file.with_name("other"))
    assert main(["lint", "--fix", str(file)]) == 2
    assert "hard link" in capsys.readouterr().err
    assert file.read_bytes() == _BAD


def test_a_file_that_cannot_be_written_is_reported_and_the_others_are_fixed(
    file: Path, tmp_path: Path
) -> None:
    """A limit of 4 KiB per file stands in for a full disk."""
    large = tmp_path / "certs.d" / "large.example" / "hosts.toml"
    large.parent.mkdir()
    large.write_bytes(_BAD + b"#" * 5000)

    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "from harness.cli import script; script()"
    )
    command = [sys.executable, "-B", "-c", code, "lint", "--fix", "-q", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr == f"pullproof lint: {large}: cannot be written: File too large\n"
    assert f"{large}:1:1: error" in ran.stdout
    assert large.read_bytes() == _BAD + b"#" * 5000
    assert file.read_bytes() == _GOOD
    assert _names(large.parent) == ["hosts.toml"]


def test_a_directory_that_cannot_be_written_to(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: Any, **more: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", refuse)
    assert main(["lint", "--fix", str(file)]) == 2
    assert capsys.readouterr().err.endswith("cannot be written: Permission denied\n")
    assert _names(file.parent) == ["hosts.toml"]


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no patch")
@pytest.mark.parametrize("name", ["hosts.toml", 'a "b"\\é/hosts.toml'])
def test_the_diff_is_what_fix_does(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("certs.d", name)
    file.parent.mkdir(parents=True)
    file.write_bytes(_BAD)
    assert main(["lint", "--diff", "./certs.d"]) == 1
    said = capsysbinary.readouterr()
    assert file.read_bytes() == _BAD
    assert b"\\ No newline at end of file\n" in said.out
    assert said.err.startswith(b"pullproof lint: 1 fixable; after the fix: ")
    for command in (["git", "apply", "--check"], ["patch", "-p1", "--binary"]):
        subprocess.run(command, input=said.out, check=True, capture_output=True)
    assert file.read_bytes() == _GOOD
    assert main(["lint", "--diff", "--select", "PPH021", "certs.d"]) == 0
    assert capsysbinary.readouterr().out == b""


def test_fix_and_diff_exclude_each_other(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--fix", "--diff", str(file)]) == 2
    assert main(["lint", "--diff", "--format", "json", str(file)]) == 2
    assert file.read_bytes() == _BAD
