"""Why a registry ended, found in what it wrote."""

from __future__ import annotations

import pytest

from harness.targets.errors import gist


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            'time="x" level=info msg="debug server listening"\npanic: cannot reach upstream\n\n'
            "goroutine 1 [running]:\nmain.main()\n\t/src/main.go:22 +0x25\n",
            "panic: cannot reach upstream",
        ),
        (
            'time="x" level=fatal msg="listen tcp: address 80: missing port in address"\n',
            "listen tcp: address 80: missing port in address",
        ),
        ('{"level":"fatal","msg":"no room","time":"x"}\n', "no room"),
        (
            "configuration error: error parsing /c: bad\nUsage:\n  registry serve <config>\n",
            "configuration error: error parsing /c: bad",
        ),
        ("first\nlast\n\n", "last"),
        ("", "no output"),
    ],
    ids=["panic", "fatal", "fatal as JSON", "configuration", "anything", "nothing"],
)
def test_gist_finds_the_cause(output: str, expected: str) -> None:
    assert gist(output) == expected
