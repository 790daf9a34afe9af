"""The last line of defence against orphans: run as a script by :mod:`harness.system.process`.

It reads ``+PGID`` and ``-PGID`` lines from its standard input. That pipe ends when the test process
ends, however it ends (``kill -9`` too), and then every process group still on the list is killed.
It uses nothing but the standard library and no file of this project, to start in milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

__all__: list[str] = []


def main() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
