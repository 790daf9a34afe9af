"""Traces: order, bounds, and the trace of a recording."""

from pathlib import Path

from harness.compare.data import from_data, to_data
from harness.compare.observation import Observation, Step
from harness.compare.trace import (
    MOST_EVENTS,
    MOST_FILES,
    MOST_HEADERS,
    MOST_TEXT,
    DiskWatch,
    Event,
    Trace,
    client_event,
)
from harness.http.client import Exchange


def exchange(body: bytes = b"", **changes: object) -> Exchange:
    values: dict[str, object] = {
        "order": 3,
        "ended": 9,
        "method": "GET",
        "path": "/v2/",
        "request_headers": (),
        "status": 200,
        "response_headers": (),
        "body_size": len(body),
        "body_start": body,
        "body_sha256": "",
        "error": None,
        "seconds": 0.0123456,
    }
    return Exchange(**{**values, **changes})  # type: ignore[arg-type]


def test_events_are_renumbered() -> None:
    asked = Event("client", 100, 900)
    fetched = Event("upstream", 250, 250)
    written = Event("disk", 901, 901)
    trace = Trace.of([written, fetched, asked])
    assert [(e.kind, e.order, e.ended) for e in trace.events] == [
        ("client", 1, 3),
        ("upstream", 2, 2),
        ("disk", 4, 4),
    ]


def test_too_many_events_are_left_out_in_the_middle() -> None:
    trace = Trace.of([Event("client", n, n, line=str(n)) for n in range(1, 1001)])
    assert len(trace.events) == MOST_EVENTS
    assert trace.omitted == 1000 - MOST_EVENTS
    assert [trace.events[0].line, trace.events[-1].line] == ["1", "1000"]
    assert trace.events[-1].order == 1000


def test_texts_and_headers_are_bounded() -> None:
    many = tuple((f"x-{n}", "v" * 5000) for n in range(100))
    event = client_event(exchange(b"b" * 2048, path="/" * 5000, response_headers=many), 1, str)
    assert len(event.headers) == MOST_HEADERS
    assert {len(value) for _, value in event.headers} == {MOST_TEXT + 2}
    assert len(event.body) == len(event.line) == MOST_TEXT + 2
    assert event.seconds == 0.0123


def test_bodies_are_text_or_left_out() -> None:
    assert client_event(exchange("grün".encode()), 1, str).body == "grün"
    # The beginning that is kept may end within a character.
    assert client_event(exchange("grün".encode()[:3]), 1, str).body == "gr"
    assert client_event(exchange(b"\xff\xfe\x00"), 1, str).body == ""


def test_paths_in_texts_are_replaced() -> None:
    error = exchange(b'{"path": "/place/x"}', error="no /place/y")
    event = client_event(error, 1, lambda text: text.replace("/place", "<workdir>"))
    assert event.body == '{"path": "<workdir>/x"}'
    assert event.note == "no <workdir>/y"


def test_data_and_back() -> None:
    event = client_event(exchange(b"{}", response_headers=(("Etag", "x"),)), 2, str)
    trace = Trace.of([event, Event("disk", 4, 4, files=("+ a", "- b"))], polls=3)
    data = to_data(trace)
    assert from_data(Trace, data) == trace
    assert "files" not in data["events"][0]
    assert "status" not in data["events"][1]


def test_a_recording_has_no_order() -> None:
    step = Step("GET /v2/", {"accept": "*/*"}, 200, {"etag": "x"}, "{}")
    trace = Trace.of_observation(
        Observation((step,), {"GET /v2/ [bearer] -> 200": 2, "GET /x -> None": 1}, {"a/link": "x"})
    )
    assert not trace.ordered
    client, pinged, cut, disk = trace.events
    assert (client.line, client.status, client.headers) == ("GET /v2/", 200, (("etag", "x"),))
    assert (pinged.line, pinged.status, pinged.times) == ("GET /v2/ [bearer]", 200, 2)
    assert (cut.line, cut.status) == ("GET /x", None)
    assert disk.files == ("+ a/link",)


def test_the_disk_is_watched(tmp_path: Path) -> None:
    watch = DiskWatch(tmp_path / "storage", 1)
    watch.look()
    (tmp_path / "storage" / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (tmp_path / "storage" / name).write_text("1")
    watch.look()
    watch.look()
    (tmp_path / "storage" / "a").write_text("22")
    (tmp_path / "storage" / "deep/b").unlink()
    watch.look()
    assert [event.files for event in watch.changes] == [("+ a", "+ deep/b"), ("~ a", "- deep/b")]
    assert watch.changes[0].order < watch.changes[1].order


def test_many_files_are_counted(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 5):
        (tmp_path / f"{number:02}").touch()
    watch = DiskWatch(tmp_path, 1)
    watch.look(last=True)
    (change,) = watch.changes
    assert (len(change.files), change.more_files) == (MOST_FILES, 5)
