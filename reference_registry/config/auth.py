"""``auth`` of config.yml: who the registry lets in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reference_registry.config.http import split_url
from reference_registry.config.model import (
    SIGNING_ALGORITHMS,
    AuthConfig,
    HtpasswdConfig,
    TokenConfig,
)
from reference_registry.config.section import Section

__all__ = ["read_auth"]


def read_auth(root: Section) -> AuthConfig:
    """``auth``: a section with one type, or the name of a type alone."""
    auth = root.shorthand("auth")
    auth.known("htpasswd", "none", "silly", "token")
    match auth.names():
        case []:
            return AuthConfig()
        case ["htpasswd"]:
            return AuthConfig(htpasswd=_htpasswd(auth.section("htpasswd")))
        case ["token"]:
            return AuthConfig(token=_token(auth.section("token")))
        case ["silly"]:
            auth.refuse("silly", "not available here", "use htpasswd or token", released=2)
        case [kind]:
            if kind.lower() != "none":
                auth.refuse_unknown(kind, released=2)
        case kinds:
            root.refuse("auth", f"more than one type: {', '.join(kinds)}", "keep one of them")
    return AuthConfig()


def _htpasswd(section: Section) -> HtpasswdConfig:
    realm, path = _required(section, "realm", "path")
    return HtpasswdConfig(realm=realm, path=Path(path))


# -- token --------------------------------------------------------------------------------------
def _token(section: Section) -> TokenConfig:
    profile = section.reading.profile
    realm, service, issuer = _required(section, "realm", "service", "issuer")
    bundle, jwks = section.text("rootcertbundle", released=2), ""
    if "jwks" in profile.token_key_ids:
        jwks = section.text("jwks", released=2)
    if not bundle and not jwks:
        fix = "name the file with the token server's certificate"
        section.refuse("rootcertbundle", "missing", fix, released=2)
    config = TokenConfig(
        realm=realm,
        service=service,
        issuer=issuer,
        rootcertbundle=Path(bundle) if bundle else None,
        jwks=Path(jwks) if jwks else None,
        autoredirect=section.flag("autoredirect", released=2),
    )
    if realm and not config.autoredirect:
        _check_realm(section, realm)
    return _with_options(section, config) if profile.has_token_options else config


def _check_realm(section: Section, realm: str) -> None:
    url = split_url(realm)
    if url is None or url.scheme not in {"http", "https"} or not url.hostname:
        section.refuse("realm", "not a URL", "write https://HOST/PATH", released=None)


def _with_options(section: Section, config: TokenConfig) -> TokenConfig:
    """*config* with what 3.0.0 brought."""
    path = section.text("autoredirectpath", config.autoredirectpath, released=2)
    if not path.startswith("/"):
        section.refuse("autoredirectpath", "no slash in front", f"write /{path}", released=None)
    algorithms = section.texts("signingalgorithms", released=2) or SIGNING_ALGORITHMS
    for name in algorithms:
        if name not in SIGNING_ALGORITHMS:
            what = f"{name!r} is not one of {', '.join(SIGNING_ALGORITHMS)}"
            section.refuse("signingalgorithms", what, released=2)
    if all(name.startswith("HS") for name in algorithms):
        what = "no token can be signed so: the keys that a registry is given are public"
        section.warn("signingalgorithms", what, "add ES256 or RS256", rule="no-token-is-good")
    return replace(config, autoredirectpath=path, signingalgorithms=algorithms)


def _required(section: Section, *keys: str) -> tuple[str, ...]:
    values = tuple(section.text(key, released=2) for key in keys)
    for key, value in zip(keys, values, strict=True):
        if not value:
            section.refuse(key, "missing", f"set {key}", released=2)
    return values
