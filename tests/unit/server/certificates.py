"""Certificates for tests, made by the openssl program."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.system.real_parts import real_part

_NEW_KEY = ("-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2")


def make_authority(directory: Path, name: str = "ca") -> tuple[Path, Path]:
    """A certificate that may sign others, and its key."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # Python 3.13 demands it
    _openssl(
        "req",
        "-x509",
        *_NEW_KEY,
        "-subj",
        f"/CN={name}",
        *usage,
        "-out",
        certificate,
        "-keyout",
        key,
    )
    return certificate, key


def make_certificate(directory: Path, name: str, authority: tuple[Path, Path]) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that *authority* signed, and its key."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    signer = ("-CA", authority[0], "-CAkey", authority[1])
    subject = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1")
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
    _openssl(
        "req", "-x509", *_NEW_KEY, *signer, *subject, *leaf, "-out", certificate, "-keyout", key
    )
    return certificate, key


def _openssl(*arguments: str | Path) -> None:
    command = [real_part("openssl"), *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
