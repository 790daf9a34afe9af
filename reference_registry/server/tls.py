"""``http.tls``, as Granian wants it."""

from __future__ import annotations

import ssl
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from granian.constants import SSLProtocols

from reference_registry.config import TlsConfig
from reference_registry.config.problem import CannotStart

__all__ = ["granian_tls"]


def granian_tls(tls: TlsConfig, until_up: ExitStack) -> dict[str, Any]:
    """Arguments for a Granian server. Files made for it are removed by *until_up*.

    Raises :class:`CannotStart` for files that are missing, or no certificates, or no pair.
    """
    _check(tls)
    minimum = SSLProtocols.tls13 if tls.minimumtls == "tls1.3" else SSLProtocols.tls12
    arguments: dict[str, Any] = {
        "ssl_cert": tls.certificate,
        "ssl_key": tls.key,
        "ssl_protocol_min": minimum,
    }
    if tls.clientcas:
        arguments |= {"ssl_ca": _as_one(tls.clientcas, until_up), "ssl_client_verify": True}
    return arguments


def _check(tls: TlsConfig) -> None:
    for key, path in (("certificate", tls.certificate), ("key", tls.key)):
        if not path.is_file():
            raise CannotStart(f"http.tls.{key}", f"there is no file {path}", "correct the path")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # ssl.SSLError is one
        what = f"{tls.certificate} and {tls.key} do not go together: {error}"
        raise CannotStart("http.tls.certificate", what, "give two PEM files of a pair") from None
    for path in tls.clientcas:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            what = f"{path} cannot be used: {error}"
            raise CannotStart("http.tls.clientcas", what, "give PEM files") from None


def _as_one(paths: tuple[Path, ...], until_up: ExitStack) -> Path:
    if len(paths) == 1:
        return paths[0]
    directory = until_up.enter_context(tempfile.TemporaryDirectory())
    bundle = Path(directory) / "clientcas.pem"
    bundle.write_bytes(b"\n".join(path.read_bytes() for path in paths))
    return bundle
