"""Kills orphans; run as a script by :mod:`harness.system.process`.

It reads ``+PGID`` and ``-PGID`` lines from its standard input. When the test process ends, even by
``kill -9``, the pipe ends, and it kills the process groups that are left. It imports nothing of
this project, to start in milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


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
