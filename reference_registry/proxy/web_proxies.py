"""Through which web proxy a request goes, by ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and
``NO_PROXY``, or what the system says in their place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from urllib.request import getproxies, proxy_bypass

import httpx

from reference_registry.proxy.sites import is_loopback

__all__ = ["web_proxy_for"]


def web_proxy_for(url: httpx.URL) -> str | None:
    """The URL of the proxy for *url*, or None. As in Go, none is ever asked for the machine itself.

    What is set when the first request goes out counts.
    """
    proxies = _proxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or is_loopback(url.host) or proxy_bypass(url.netloc.decode("ascii")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


@cache
def _proxies() -> Mapping[str, str]:
    return getproxies()
