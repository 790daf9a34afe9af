"""What is particular to registries that run in this process."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from harness.content import an_image
from harness.targets import DidNotStart, RunningRegistry, Settings, parse_target
from harness.upstream import MockUpstream
from tests.unit.targets.conftest import Launch


def says(registry: RunningRegistry, who: str) -> bool:
    return f"who={who}" in registry.logs()


def test_each_keeps_its_own_log(launch: Launch) -> None:
    reference = parse_target("reference")
    first, second = launch(reference), launch(reference)
    first.get("/v2/?who=first")
    second.get("/v2/?who=second")
    for registry, own, other in ((first, "first", "second"), (second, "second", "first")):
        assert registry.eventually(partial(says, registry, own))
        assert not says(registry, other)
        assert registry.logs().count('msg="listening on') == 1


def test_its_log_has_the_level_and_form_that_are_configured(launch: Launch) -> None:
    reference = parse_target("reference")
    quiet = launch(reference, log_level="error")
    loud = launch(reference, log_formatter="json")
    assert quiet.logs() == ""
    assert '"msg": "listening on' in loud.logs()


def test_logging_configuration_is_restored(launch: Launch) -> None:
    logger = logging.getLogger("reference_registry")
    before = (logger.level, logger.propagate, list(logger.handlers))
    registry = launch(parse_target("reference"))
    assert logger.handlers != before[2]
    registry.stop()
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_wrong_configuration_has_the_exit_code_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(DidNotStart) as failure:
        parse_target("reference").launch(Settings(extra={"proxy": {"remoteURL": "x"}}), tmp_path)
    assert failure.value.exit_code == 2
    assert f"{tmp_path / 'config.yml'}:" in failure.value.message
    assert "remoteURL" in str(failure.value)


def test_start_times_out(
    launch: Launch, source: MockUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.targets.reference._TIMEOUT", 0.2)
    source.on("GET", "/v2/").hang()
    with pytest.raises(DidNotStart, match="did not listen in time"):
        launch(parse_target("reference@2.8"), upstream_url=source.url)


def test_a_crash_saves_nothing(launch: Launch, source: MockUpstream) -> None:
    image = source.add("team/app", an_image("crash", layers=1))
    cache = launch(parse_target("reference@2.8"), upstream_url=source.url)
    path = f"/v2/team/app/manifests/{image.digest}"
    assert cache.get(path, headers={"Accept": image.media_type}).status == 200
    cache.kill()
    assert cache.disk.revisions("team/app") == {image.digest}
    assert cache.state() is None


def test_decades_pass_at_once(launch: Launch, source: MockUpstream) -> None:
    """A profile that saves every five seconds does not live through all of them."""
    cache = launch(parse_target("reference@2.8"), upstream_url=source.url)
    cache.pass_time(timedelta(days=36500))
    assert cache.get("/v2/", timeout=10).status == 200
