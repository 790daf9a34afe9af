"""What a target showed, kept in a file: a column that needs neither binary nor Docker.

One JSON file for one target, keys in alphabetical order, one value a line, so that two recordings
can be compared and changes show in a review. It holds no secrets, machine paths or ports: its
contents are redacted and normalised.

A recording holds the *fingerprint* of each scenario's code. Where a scenario has changed since, its
cell is reported as not applicable, with that reason.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from harness.compare.data import from_data, read_json, to_data
from harness.compare.observation import Observation
from harness.suite.results import Result
from harness.system.needs import Need
from harness.targets import Settings, Target, TargetAccess, TargetError
from harness.targets import parse_target as parse_launchable
from harness.targets.target import Identity

SCHEMA_VERSION = 2
"""Raised whenever a reader of the previous version would misread the file."""


class RecordingError(TargetError):
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
    """The exact version, such as ``2.8.2``."""
    date: str
    """The day of the run, ISO 8601."""
    scenarios: Mapping[str, Recorded] = field(default_factory=dict)
    """By key."""

    def render(self) -> str:
        """The text of the file."""
        headers: dict[str, Mapping[str, str]] = {}
        document = {"schema": SCHEMA_VERSION, **to_data(self), "headers": headers}
        for cell in document["scenarios"].values():
            _compress(cell, headers)
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Recording:
        """The recording in the file at *path*; :class:`RecordingError`."""
        fix = "record it again with --record DIR"
        try:
            document = read_json(path, SCHEMA_VERSION, fix)
        except ValueError as error:
            raise RecordingError(f"recording:{path}: {error}") from error
        try:
            del document["schema"]
            headers = document.pop("headers")
            for cell in document["scenarios"].values():
                for step in cell["observation"]["steps"]:
                    step |= {side: headers[step[side]] for side in ("sent", "headers")}
            return from_data(cls, document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordingError(
                f"recording:{path}: not a recording, or an incomplete one; {fix}"
            ) from error


def _compress(cell: dict[str, Any], headers: dict[str, Mapping[str, str]]) -> None:
    """Drop from *cell* what is not behaviour. Its header lines, which repeat a lot, go into
    *headers* by the first digits of their hash."""
    # Durations vary, conversations hold ports, and advice is looked up on replay.
    cell["result"] |= {"seconds": 0.0, "conversation": ""}
    del cell["result"]["advice"], cell["result"]["earlier"]
    for step in cell["observation"]["steps"]:
        del step["whole"]
        for side in ("sent", "headers"):
            key = hashlib.sha256(json.dumps(step[side], sort_keys=True).encode()).hexdigest()[:10]
            headers[key] = step[side]
            step[side] = key


def fingerprint(test: Callable[..., object]) -> str:
    """A hash of what the scenario *test* does: its body, arguments and pytest marks, without its
    claim, comments, docstring and layout. Empty, so that it equals no other, where the source
    cannot be read as it was imported."""
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(test)))
        function = ast.parse(source).body[0]
    except (OSError, SyntaxError, IndexError):
        return ""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return ""
    function.decorator_list = [
        decorator
        for decorator in function.decorator_list
        if ast.unparse(decorator).startswith("pytest.mark.")
    ]
    if ast.get_docstring(function, clean=False) is not None:
        function.body = function.body[1:] or [ast.Pass()]
    for node in ast.walk(function):
        if getattr(node, "type_params", None) == []:
            del node.type_params  # type: ignore[attr-defined]  # new in Python 3.12
    # Python 3.13 leaves empty fields out by default; recordings serve all versions.
    options: dict[str, Any] = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return hashlib.sha256(ast.dump(function, **options).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RecordingTarget(Target):
    """``recording:FILE``, a target that launches nothing: each scenario's findings are read from
    the recording and judged against today's claims and deviations."""

    recording: Recording

    @property
    def name(self) -> str:
        return f"recording:{self.recording.target}"

    @property
    def known_as(self) -> str:
        return self.recording.target

    @cached_property
    def identity(self) -> Identity:  # type: ignore[override]
        one = self.recording
        return Identity(one.implementation, one.version, one.release)

    @property
    def capabilities(self) -> frozenset[Need]:
        """All of them: the recorded result says what the target lacked."""
        return frozenset(Need)

    def check(self) -> None:
        """Nothing to check: reading the file has checked it."""

    def registry(self, settings: Settings, workdir: Path) -> NoReturn:
        """Raises ``TargetError``: a recording cannot be launched."""
        raise TargetError(f"{self.name} cannot be launched: a recording only replays scenarios")


def parse_target(text: str, access: TargetAccess | None = None) -> Target:
    """The target that *text* names, recordings included; *access* is for ``url:`` targets.

    Raises :class:`TargetError`, whose text is one line.
    """
    kind, colon, path = text.partition(":")
    if kind != "recording" or not colon:
        return parse_launchable(text, access or TargetAccess())
    if not path:
        raise TargetError("recording: needs a file, such as one that --record DIR wrote")
    return RecordingTarget(Recording.read(Path(path).expanduser()))
