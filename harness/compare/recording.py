"""What a target showed, kept in a file: a column that needs neither binary nor Docker.

One JSON file for one target, keys in alphabetical order, one value a line, so that two recordings
can be read side by side and a change to one shows in a review. It holds no secret and no path or
port of the machine: what goes in has been redacted and normalised.

A recording knows the *fingerprint* of each scenario. One that has changed since proves nothing
about the new one; it is reported as not applicable, with that reason.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.compare.observation import Observation
from harness.suite.results import Result

__all__ = ["SCHEMA_VERSION", "Recorded", "Recording", "RecordingError", "fingerprint"]

SCHEMA_VERSION = 2
"""Raised whenever a reader of the previous version would misread the file."""


class RecordingError(Exception):
    """The file cannot be used; the text names it and the fix."""


@dataclass(frozen=True)
class Recorded:
    """One scenario's cell."""

    fingerprint: str
    result: Result
    observation: Observation


@dataclass(frozen=True)
class Recording:
    """Everything that one target showed in one run."""

    target: str
    """The name of the column that was recorded, such as ``docker-registry``."""
    implementation: str
    version: str
    """The release series, by which deviations are looked up."""
    release: str
    """What the target says of itself, such as ``2.8.2``."""
    date: str
    """The day of the run, ISO 8601."""
    scenarios: Mapping[str, Recorded] = field(default_factory=dict)
    """By key."""

    def render(self) -> str:
        """The text of the file."""
        headers: dict[str, Mapping[str, str]] = {}
        document = {
            "schema": SCHEMA_VERSION,
            "target": self.target,
            "implementation": self.implementation,
            "version": self.version,
            "release": self.release,
            "date": self.date,
            "scenarios": {key: _cell(cell, headers) for key, cell in self.scenarios.items()},
            "headers": headers,
        }
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Recording:
        """The recording in the file at *path*; :class:`RecordingError`."""
        again = "record it again with --record DIR"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecordingError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise RecordingError(f"{path}: {error}; {again}") from error
        schema = document.get("schema") if isinstance(document, dict) else None
        if schema != SCHEMA_VERSION:
            raise RecordingError(f"{path}: schema {schema!r}, known is {SCHEMA_VERSION}; {again}")
        try:
            cells = {
                key: Recorded(
                    cell["fingerprint"],
                    Result.from_data(cell["result"]),
                    _observation(cell["observation"], document["headers"]),
                )
                for key, cell in document["scenarios"].items()
            }
            return cls(
                **{
                    name: str(document[name])
                    for name in ("target", "implementation", "version", "release", "date")
                },
                scenarios=cells,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordingError(
                f"{path}: is no recording ({type(error).__name__}: {error}); {again}"
            ) from error


def _cell(cell: Recorded, headers: dict[str, Mapping[str, str]]) -> dict[str, Any]:
    """*cell* as JSON values. Header lines are the same again and again: they are put into
    *headers*, by the beginning of their hash."""
    result = cell.result.as_data()
    # How long it took is no behaviour, a failure's conversation has ports, and what to do about a
    # deviation is looked up when the recording is read.
    result["seconds"], result["conversation"] = 0.0, ""
    del result["advice"]
    observation = cell.observation.as_data()
    for step in observation["steps"]:
        for side in ("sent", "headers"):
            key = hashlib.sha256(json.dumps(step[side], sort_keys=True).encode()).hexdigest()[:10]
            headers[key] = step[side]
            step[side] = key
    return {"fingerprint": cell.fingerprint, "result": result, "observation": observation}


def _observation(data: Mapping[str, Any], headers: Mapping[str, Mapping[str, str]]) -> Observation:
    """The reverse, for an observation."""
    steps = [
        {**step, **{side: headers[step[side]] for side in ("sent", "headers")}}
        for step in data["steps"]
    ]
    return Observation.from_data({**data, "steps": steps})


def fingerprint(test: Callable[..., object]) -> str:
    """Changes when what the scenario *test* does changes; not with its comments, its docstring or
    its layout. Empty, and so like no other, where the source is no longer what was imported."""
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(test)))
        function = ast.parse(source).body[0]
    except (OSError, SyntaxError, IndexError):
        return ""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return ""
    if ast.get_docstring(function, clean=False) is not None:
        function.body = function.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(function).encode()).hexdigest()[:12]
