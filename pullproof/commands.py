"""The commands that are installed."""

from __future__ import annotations

import sys


def pullproof() -> None:
    """``pullproof``. Ctrl-C ends it with one line during imports too."""
    try:
        from harness.cli import script

        script()
    except KeyboardInterrupt:
        if sys.argv[1:2] != ["run"]:
            sys.exit(130)
        print("INCOMPLETE 0/?: interrupted before the first test", file=sys.stderr)
        sys.exit(2)


def registry() -> None:
    """``pullproof-registry``."""
    from reference_registry.__main__ import main

    sys.exit(main())
