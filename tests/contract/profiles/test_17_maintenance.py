"""Section 17: maintenance."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.clients.push import put_manifest, upload_blob
from tests.contract.profiles.bench import IMAGE, REPOSITORY, Bench, blob_path, manifest_path, starts
from tests.contract.profiles.table import row

_UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"
_UUID = "00000000-0000-4000-8000-000000000000"


def _maintenance(**sections: object) -> dict[str, Any]:
    return {"extra": {"storage": {"maintenance": sections}}}


# -- read only ------------------------------------------------------------------------------------
_REFUSED = (405, "text/plain; charset=utf-8", b"Method not allowed\n", {"GET", "HEAD"})
_WRITES = [
    ("PUT", manifest_path("v1")),
    ("DELETE", manifest_path(IMAGE)),
    ("DELETE", blob_path(IMAGE.config)),
    ("POST", _UPLOADS),
]


@row("17.1", [_REFUSED] * len(_WRITES))
def test_writing_to_what_can_only_be_read(bench: Bench) -> object:
    """Status, type, body, and the methods that are allowed."""
    registry = bench.standard(readonly=True)
    seen = []
    for method, path in _WRITES:
        answer = registry.request(method, path)
        allowed = {name.strip() for name in answer.headers.get("Allow", "").split(",")}
        seen.append((answer.status, answer.headers["Content-Type"], answer.body, allowed))
    return seen


@row("17.1", [404, 404])
def test_uploads_of_what_can_only_be_read(bench: Bench) -> object:
    registry = bench.standard(readonly=True)
    methods = ("PATCH", "PUT")
    return [registry.request(method, f"{_UPLOADS}{_UUID}").status for method in methods]


@row("17.1", 200)
def test_reading(bench: Bench) -> object:
    registry = bench.standard()
    for blob in IMAGE.blobs:
        upload_blob(registry.client, REPOSITORY, blob)
    put_manifest(registry.client, REPOSITORY, "v1", IMAGE)
    registry.restart(readonly=True)
    return registry.get(manifest_path(IMAGE), headers={"Accept": IMAGE.media_type}).status


@row("17.2", {"true": 2, "{'enabled': 'true'}": 2, "{}": "starts"})
def test_forms_of_readonly(bench: Bench) -> object:
    forms: list[object] = [True, {"enabled": "true"}, {}]
    return {str(form).lower(): starts(bench, **_maintenance(readonly=form)) for form in forms}


# -- purging --------------------------------------------------------------------------------------
_PURGE = re.compile(r"Starting upload purge in (?:([1-5]?[0-9])m0s|0s)\"")


@row("17.3", True)
@pytest.mark.parametrize("hours", [24, 1], ids=["default", "hourly"])
def test_first_purge(bench: Bench, hours: int) -> object:
    """Whether it is within the hour, in whole minutes, and said so."""
    section = {"enabled": True, "age": "168h", "interval": f"{hours}h", "dryrun": False}
    registry = bench.standard(**({} if hours == 24 else _maintenance(uploadpurging=section)))
    return registry.eventually(lambda: _PURGE.search(registry.logs())) is not None


_WHOLE = {"enabled": True, "age": "168h", "interval": "24h", "dryrun": False}


@row(
    "17.4",
    {"whole": "starts", "off": "starts", "age": 2, "interval": 2, "dryrun": 2, "number": 2},
)
def test_forms_of_purging(bench: Bench) -> object:
    """With everything, off, and without a key or with a number for a duration."""
    forms: dict[str, dict[str, object]] = {
        "whole": _WHOLE,
        "off": {"enabled": False},
        **{key: _WHOLE | {key: None} for key in ("age", "interval", "dryrun")},
        "number": _WHOLE | {"age": 168},
    }
    return {name: starts(bench, **_maintenance(uploadpurging=form)) for name, form in forms.items()}
