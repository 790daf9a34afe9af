"""``http.tls`` as an ``ssl.SSLContext``."""

from __future__ import annotations

import ssl

from reference_registry.config import TlsConfig
from reference_registry.config.problem import CannotStart

__all__ = ["ssl_context"]


def ssl_context(tls: TlsConfig, *, http2: bool) -> ssl.SSLContext:
    """A server's context. With ``clientcas``, clients must present a certificate.

    Raises :class:`CannotStart` for missing files, files that are not certificates, and a key that
    does not belong to its certificate.
    """
    for key, path in (("certificate", tls.certificate), ("key", tls.key)):
        if not path.is_file():
            raise CannotStart(f"http.tls.{key}", f"no such file: {path}", "correct the path")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if tls.minimumtls == "tls1.3" else ssl.TLSVersion.TLSv1_2
    )
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # includes ssl.SSLError
        what = f"{tls.certificate} and {tls.key} are not a certificate and its key: {error}"
        raise CannotStart("http.tls.certificate", what, "give two matching PEM files") from None
    for path in tls.clientcas:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            what = f"cannot read {path}: {error}"
            raise CannotStart("http.tls.clientcas", what, "give PEM files") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context
