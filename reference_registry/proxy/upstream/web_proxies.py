"""Through which web proxy a request goes, by ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and
``NO_PROXY``, or what the system says in their place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from reference_registry.proxy.upstream.ssrf import host_of, is_loopback

__all__ = ["is_web_proxy", "web_proxy_for"]


def web_proxy_for(url: httpx.URL) -> str | None:
    """The URL of the proxy for *url*, or None. As in Go, none is ever asked for the machine itself.

    What is set when the first request goes out counts.
    """
    proxies = _proxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or is_loopback(url.host) or proxy_bypass(url.netloc.decode("ascii")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_web_proxy(host: str) -> bool:
    """Whether *host* is one of the proxies."""
    urls = (urlsplit(proxy if "://" in proxy else f"//{proxy}") for proxy in _proxies().values())
    return host_of(host) in {url.hostname for url in urls}


@cache
def _proxies() -> Mapping[str, str]:
    return getproxies()
