"""Who gets to see a password, a token or a header: the registry and its own token server alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.clients.authority import Authority
from harness.clients.containerd_pull import ACCEPT
from harness.content import an_image
from harness.http.client import Exchange
from harness.http.namespace import Namespace
from harness.targets import TargetAccess, TargetError, UrlTarget
from harness.targets.remote_client import RemoteClient
from harness.upstream import Anonymous, Basic, Bearer, MockUpstream
from harness.upstream.auth import Auth

LOGIN = ("robot", "hunter2")
V1 = "/v2/team/app/manifests/v1"
Make = Callable[..., MockUpstream]


@pytest.fixture
def make() -> Iterator[Make]:
    """A registry to be asked, here a mock one, since it keeps what it was sent."""
    running: list[MockUpstream] = []

    def make_one(auth: Auth | None = None, **options: object) -> MockUpstream:
        registry = MockUpstream(auth or Anonymous(), **options)  # type: ignore[arg-type]
        registry.start()
        running.append(registry)
        registry.add("team/app", an_image(), tags=("v1",))
        return registry

    yield make_one
    for registry in running:
        registry.stop()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, ["localhost"])


def plain(target: UrlTarget) -> RemoteClient:
    """Asks by the names as they are."""
    return target.client(Namespace("", target.place))


def said(exchanges: list[Exchange]) -> str:
    return repr(exchanges)


@pytest.mark.parametrize("auth", [Basic(*LOGIN), Bearer(*LOGIN)], ids=["basic", "bearer"])
def test_login_is_sent_and_not_recorded(make: Make, auth: Auth) -> None:
    registry = make(auth)
    target = UrlTarget.find(registry.url, TargetAccess(login=LOGIN))
    client = plain(target)
    assert client.get(V1, headers=ACCEPT).status == 200
    assert client.get("/v2/team/app/tags/list").json()["tags"] == ["v1"]
    client.close()
    assert "hunter2" not in said(client.exchanges)
    assert "uthorization" not in said(client.exchanges)


@pytest.mark.parametrize("auth", [Basic(*LOGIN), Bearer(*LOGIN)], ids=["basic", "bearer"])
@pytest.mark.parametrize("login", [None, ("robot", "wrong-one")], ids=["none", "wrong"])
def test_missing_or_wrong_login(make: Make, auth: Auth, login: tuple[str, str] | None) -> None:
    registry = make(auth)
    with pytest.raises(TargetError, match="--login USER:PASSWORD") as problem:
        UrlTarget.find(registry.url, TargetAccess(login=login))
    assert "\n" not in str(problem.value)
    assert "wrong-one" not in str(problem.value)


def test_anonymous_token(make: Make) -> None:
    registry = make(Bearer())
    client = plain(UrlTarget.find(registry.url, TargetAccess()))
    assert client.get(V1, headers=ACCEPT).status == 200
    client.close()
    assert {entry.credential for entry in registry.ledger.entries if entry.kind == "token"} == {
        "none"
    }


def test_no_password_for_a_token_server_on_another_host(make: Make) -> None:
    elsewhere = make(host="127.0.0.2")
    registry = make(Bearer(*LOGIN, realm=f"{elsewhere.url}/token"))
    with pytest.raises(TargetError, match=r"another host, so the password is not sent.*--header"):
        UrlTarget.find(registry.url, TargetAccess(login=LOGIN))
    assert not elsewhere.ledger.entries


def test_no_password_for_a_token_server_on_another_plain_port(make: Make) -> None:
    other_port = make()
    registry = make(Bearer(*LOGIN, realm=f"{other_port.url}/token"))
    with pytest.raises(TargetError, match="another host, so the password is not sent"):
        UrlTarget.find(registry.url, TargetAccess(login=LOGIN))
    assert not other_port.ledger.entries


@pytest.mark.parametrize("realm", ["file:///etc/passwd", "nonsense", "http://a:b@127.0.0.1/"])
def test_unusable_realm(make: Make, realm: str) -> None:
    registry = make(Bearer(realm=realm))
    with pytest.raises(TargetError, match="has no usable realm"):
        UrlTarget.find(registry.url, TargetAccess())


def test_redirect_is_not_followed_with_credentials(make: Make) -> None:
    elsewhere = make()
    registry = make(Basic(*LOGIN))
    target = UrlTarget.find(
        registry.url, TargetAccess(login=LOGIN, headers=(("X-Api-Key", "abcdefgh"),))
    )
    registry.on("GET", kind="manifest").redirect(elsewhere.url)
    client = plain(target)
    answer = client.get(V1)
    assert answer.status == 307
    assert not elsewhere.ledger.entries
    # A scenario may follow it, as a client does, without credentials.
    assert client.get(answer.headers["Location"], headers=ACCEPT).status == 200
    client.close()
    (asked,) = elsewhere.ledger.entries
    assert asked.credential == "none"
    assert asked.header("x-api-key") is None
    entries = [entry for entry in registry.ledger.entries if entry.kind == "manifest"]
    assert {entry.credential for entry in entries} == {"basic:robot"}
    assert {entry.header("x-api-key") for entry in entries} == {"abcdefgh"}
    assert "abcdefgh" not in said(client.exchanges)


def test_untrusted_certificate(make: Make, authority: Authority) -> None:
    registry = make(ssl_context=authority.server_context)
    url = f"https://localhost:{registry.address.rpartition(':')[2]}"
    with pytest.raises(TargetError, match=r"not trusted \(.+\); give its CA with --ca FILE") as no:
        UrlTarget.find(url, TargetAccess())
    assert "\n" not in str(no.value)
    client = plain(UrlTarget.find(url, TargetAccess(ca=authority.certificate)))
    assert client.get(V1, headers=ACCEPT).status == 200
    client.close()
    with pytest.raises(TargetError, match="not trusted"):  # It is another host's.
        UrlTarget.find(
            url.replace("localhost", "127.0.0.1"), TargetAccess(ca=authority.certificate)
        )
    with pytest.raises(TargetError, match=r"did you mean url:https://|not a registry"):
        UrlTarget.find(url.replace("https", "http"), TargetAccess())


def test_https_url_of_a_plain_registry(make: Make) -> None:
    with pytest.raises(TargetError, match=r"did you mean url:http://"):
        UrlTarget.find(make().url.replace("http", "https"), TargetAccess())
