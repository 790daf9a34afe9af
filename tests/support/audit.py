"""Asks the package index about known vulnerabilities of what is installed, for ``make lint``.

It fails if a package has a known vulnerability. It says in one line what could not be asked, and
does not fail for that: a machine without internet has to pass ``make lint`` too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

_SECONDS = 120
"""For the whole audit; a service that answers needs 5 to 20."""
_COMMAND = ("-m", "pip_audit", "--format=json", "--progress-spinner=off", "--timeout=5")


def audit(command: Sequence[str]) -> tuple[list[str], int]:
    """Run pip-audit as *command*. Returns lines to print, and 1 if there is a vulnerability."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return [f"pip-audit: skipped: no answer within {_SECONDS} s"], 0
    except ValueError:  # It prints no JSON where the service cannot be reached.
        said = done.stderr.strip().splitlines() or ["no output"]
        return [f"pip-audit: skipped: {said[-1]}"], 0
    found = [
        f"pip-audit: {one['name']} {one['version']}: {each['id']}, fixed in "
        f"{', '.join(each['fix_versions']) or 'no version'}"
        for one in packages
        for each in one.get("vulns", ())
    ]
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    asked = f"pip-audit: {len(packages) - len(unknown)} packages asked about"
    if unknown:
        asked += f"; skipped {len(unknown)} that the service does not know, {unknown[0]} first"
    return [*found, asked], 1 if found else 0


if __name__ == "__main__":
    lines, code = audit((sys.executable, *_COMMAND))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.exit(code)
