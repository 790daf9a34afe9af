"""What is observed is the same in two runs of one target, and differs where targets do."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.compare.observation import (
    NOT_SAVED,
    Names,
    observed_disk,
    observed_state,
    observed_steps,
)
from harness.http.client import CLIENT_LEFT, Exchange
from harness.system.disk import Disk
from harness.targets.readings import read_state

NAMES = Names({"http://127.0.0.1:5001": "http://<upstream 1>", "/scratch/t1": "<workdir>"})


def exchange(order: int, path: str, ended: int = 0, **fields: object) -> Exchange:
    values: dict[str, object] = {
        "order": order,
        "ended": ended or order + 1,
        "method": "GET",
        "path": path,
        "request_headers": (),
        "status": 200,
        "response_headers": (),
        "body_size": 0,
        "body_start": b"",
        "body_sha256": "",
        "error": None,
        "seconds": 0.1,
    }
    return Exchange(**(values | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/v2/a/blobs/uploads/0af0dba3-4d11-4e86-9b5d-6c3ee8d6ee5a?_state=QUJD-_=&x=1",
         "/v2/a/blobs/uploads/<uuid>?_state=<state>&x=1"),
        ("Tue, 24 Nov 2026 08:00:00 GMT", "<date>"),
        ("2026-11-24T08:00:00.123Z", "<time>"),
        ("http://127.0.0.1:5001/v2/", "http://<upstream 1>/v2/"),
        ("dial tcp 127.0.0.1:40123: refused", "dial tcp <loopback>: refused"),
        ('{"Port": 40123}', '{"Port": <port>}'),
        ("open /scratch/t1/x", "open <workdir>/x"),
        ("sha256:abc and port 5000 stay", "sha256:abc and port 5000 stay"),
    ],
)  # fmt: skip
def test_values_that_vary_between_runs_are_replaced(text: str, expected: str) -> None:
    assert NAMES.text(text) == expected


def test_objects_have_no_order() -> None:
    assert NAMES.body('{"b":1,"a":[2,1]}') == '{"a": [2, 1], "b": 1}'


def test_steps_are_in_order_and_concurrent_ones_sorted() -> None:
    one_way = [exchange(1, "/b", ended=9), exchange(2, "/a", ended=8), exchange(10, "/0")]
    other_way = [exchange(1, "/a", ended=9), exchange(2, "/b", ended=8), exchange(10, "/0")]
    steps = observed_steps(one_way, NAMES)
    assert [step.request for step in steps] == ["GET /a", "GET /b", "GET /0"]
    assert steps == observed_steps(other_way, NAMES)


def test_polling_is_left_out() -> None:
    steps = observed_steps(
        [exchange(1, "/x", status=404), exchange(3, "/x")], NAMES, frozenset({1})
    )
    assert [step.status for step in steps] == [200]


def test_a_client_that_leaves_has_read_as_far_as_it_did() -> None:
    left = [
        exchange(1, "/x", body_size=n, body_start=b"x" * n, error=f"{CLIENT_LEFT} after {n} bytes")
        for n in (10, 2000)
    ]
    assert observed_steps(left[:1], NAMES) == observed_steps(left[1:], NAMES)


@pytest.mark.parametrize(
    "body", ['{"a": "\\ud800"}', '{"\\udfff": 1}', "[" * 100_000, "9" * 5000], ids=range(4)
)
def test_any_body_can_be_recorded(body: str) -> None:
    """A registry under test answers what it likes."""
    assert Names({}).body(body).encode()


def test_large_and_binary_bodies_become_size_and_hash() -> None:
    binary = exchange(1, "/x", body_size=2, body_start=b"\xff\xfe", body_sha256="ab" * 32)
    large = exchange(3, "/x", body_size=5000, body_start=b"x" * 2048, body_sha256="cd" * 32)
    bodies = [step.body for step in observed_steps([binary, large], NAMES)]
    assert bodies == [f"<2 bytes, sha256 {'ab' * 6}>", f"<5000 bytes, sha256 {'cd' * 6}>"]


def test_repeated_headers_are_joined_and_connection_headers_left_out() -> None:
    headers = (("Link", "<a>"), ("Date", "x"), ("Link", "<b>"), ("Connection", "close"))
    (step,) = observed_steps([exchange(1, "/x", response_headers=headers)], NAMES)
    assert step.headers == {"link": "<a>, <b>"}


def test_files_become_hashes_and_uploads_kinds(tmp_path: Path) -> None:
    def write(path: str, content: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_text(content)

    hashed = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of "x"
    write(f"docker/registry/v2/blobs/sha256/2d/{hashed}/data", "x")
    write("r/_uploads/0af0dba3-4d11-4e86-9b5d-6c3ee8d6ee5a/startedat", "2026")
    write(".pullproof/lock", "1")
    assert observed_disk(Disk(tmp_path), NAMES) == {
        f"docker/registry/v2/blobs/sha256/2d/{hashed}/data": "as named",
        "r/_uploads/<uuid>/startedat": "present",
    }


def test_the_schedule_is_in_hours(tmp_path: Path) -> None:
    (tmp_path / "scheduler-state.json").write_text(
        '{"a@sha256:1": {"Key": "a@sha256:1", "EntryType": 1, '
        '"ExpiryData": "2026-11-24T12:00:07Z"}}'
    )
    now = datetime(2026, 11, 24, 10, tzinfo=UTC)
    disk, file = Disk(tmp_path), tmp_path / "scheduler-state.json"

    def observed() -> dict[str, str]:
        return observed_state(lambda: read_state(file), disk, now)

    assert observed() == {"a@sha256:1": "manifest, expires in 2 h"}
    link = tmp_path / f"docker/registry/v2/repositories/a/_layers/sha256/{'1' * 64}/link"
    link.parent.mkdir(parents=True)
    link.write_text(f"sha256:{'1' * 64}")
    os.utime(file, (1, 1))
    assert observed() == {"scheduler-state.json": NOT_SAVED}
    file.write_text("{")
    assert observed() == {"scheduler-state.json": "damaged"}
    file.unlink()
    assert observed() == {"scheduler-state.json": NOT_SAVED}
