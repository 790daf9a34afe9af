"""Shared by the project's own tests."""

import signal

pytest_plugins = ["pytester", "tests.mirrors.options"]

# A shell starts what it runs in the background with SIGINT ignored, and children inherit that: the
# tests of Ctrl-C would then test nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
