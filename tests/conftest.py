"""Shared by the project's own tests."""

pytest_plugins = ["pytester", "tests.mirrors.options"]
