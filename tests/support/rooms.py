"""How many modules one request runs through: ``python -m tests.support.rooms``.

A newcomer who follows one request has to open each of these files. Third-party code and the
standard library do not count, nor does what runs at import, in other threads or in background
tasks.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from types import FrameType

import reference_registry
from harness.content import an_image
from reference_registry.config import CachePolicy
from tests.support.in_process import Proxy
from tests.support.upstream_double import UpstreamDouble

_ROOT = Path(reference_registry.__file__).parent
_IMAGE = an_image("rooms")
_ON_BEHALF: ContextVar[Trace | None] = ContextVar("on behalf", default=None)
"""Set in the task of the request and in the tasks that it starts."""
_PATH = "/v2/team/app/manifests/v1"


class Trace:
    """The files of ``reference_registry`` that ran, in order of their first call."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.changes = 0
        """How often execution went from one file to another."""
        self._last = ""

    async def of(self, request: Callable[[], Awaitable[object]]) -> Trace:
        """Trace *request* and the tasks that it starts."""
        token = _ON_BEHALF.set(self)
        sys.setprofile(self._note)
        try:
            await request()
        finally:
            sys.setprofile(None)
            _ON_BEHALF.reset(token)
        return self

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or _ON_BEHALF.get() is not self:
            return
        path = Path(frame.f_code.co_filename)
        if not path.is_relative_to(_ROOT) or frame.f_code.co_name == "<module>":
            return
        name = str(path.relative_to(_ROOT))
        if name not in self.files:
            self.files.append(name)
        self.changes += name != self._last
        self._last = name


async def manifest_by_tag(root: Path) -> dict[str, Trace]:
    """A GET of a manifest by tag that misses, and one that hits a fresh tag."""
    upstream = UpstreamDouble()
    upstream.add("team/app", _IMAGE, "v1")
    fresh = CachePolicy(tag_freshness=timedelta(hours=1))
    traces = {}
    async with Proxy(upstream, root).running() as proxy:
        traces["miss"] = await Trace().of(lambda: proxy.get(_PATH, accept=_IMAGE.media_type))
        await proxy.settled()
    async with Proxy(upstream, root, policy=fresh).running() as proxy:
        await proxy.get(_PATH, accept=_IMAGE.media_type)
        traces["hit"] = await Trace().of(lambda: proxy.get(_PATH, accept=_IMAGE.media_type))
    return traces


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        traces = asyncio.run(manifest_by_tag(Path(root)))
    for name, trace in traces.items():
        print(f"manifest by tag, {name}: {len(trace.files)} files, {trace.changes} changes of file")
        print("".join(f"  {file}\n" for file in trace.files))


if __name__ == "__main__":
    main()
