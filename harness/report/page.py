"""The results as one page for a browser, which needs nothing else: no server, no network.

Everything in it comes from registries, and may be hostile. The data stand in a script element of a
type that no browser runs, with ``<`` escaped, so that nothing in them ends it; the page's own
script makes text nodes of them and never markup; and a policy in the page forbids whatever is not
its own script and style (Content Security Policy Level 3, 2.3.1 hash sources).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

__all__ = ["render_html"]

_SCRIPTS = ("diagram.js", "details.js", "report.js")
"""In the order in which they stand in the page, as one script."""


def render_html(document: Mapping[str, Any]) -> str:
    """The page about *document* (:mod:`harness.report.document`)."""
    style = _part("report.css")
    script = "(async () => {\n'use strict';\n" + "\n".join(map(_part, _SCRIPTS)) + "\n})();\n"
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _part("template.html")
    # The data come last: what they hold is no place to put anything.
    slim = {**document, "results": [{**one, "trace": None} for one in document["results"]]}
    for name, text in (
        ("POLICY", policy),
        ("STYLE", style),
        ("SCRIPT", script),
        ("TRACES", _traces([one["trace"] for one in document["results"]])),
        ("DATA", _data(slim)),
    ):
        before, mark, after = page.partition(f"<!--{name}-->")
        assert mark, name
        page = before + text + after
    return page


def _part(name: str) -> str:
    return (files(__package__) / "html" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data(document: Mapping[str, Any]) -> str:
    """As JSON in ASCII without ``<``, ``>`` and ``&``."""
    text = json.dumps(document, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _traces(traces: list[Any]) -> str:
    """As gzip in Base64: they are long and repeat themselves, and are read only when opened."""
    text = json.dumps(traces, separators=(",", ":"))
    # Without a date, so that one document gives one page.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
