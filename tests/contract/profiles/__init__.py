"""Every row of what distribution's releases do, proven for the profiles and for real binaries."""

import pytest

pytest.register_assert_rewrite("tests.contract.profiles.table")
