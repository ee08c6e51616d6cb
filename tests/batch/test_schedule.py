"""When a service refreshes for the first time after its start. What follows is in tests/e2e/test_refresh.py."""

from __future__ import annotations

import os
import time

import pytest
from tests.conftest import NOW

from active_customers.batch.schedule import Schedule, ScheduleConfig
from active_customers.models.artifacts import ArtifactStore, Manifest

SOON, HOUR = 30, 3_600


@pytest.fixture
def artifacts(tmp_path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "models")


def publish(artifacts: ArtifactStore, age: float) -> None:
    """Publish a version that has read positions below 10, so many seconds of real time ago."""
    artifacts.publish(Manifest("v2025.01.15-001", NOW, 10, 1, {}, {}, {}), {})
    then = time.time() - age
    os.utime(artifacts.folder("v2025.01.15-001") / "manifest.json", (then, then))


def schedule(artifacts: ArtifactStore, next_position: int, minutes: float = 60, catalog_version: int = 1) -> Schedule:
    config = ScheduleConfig(every_minutes=minutes)
    return Schedule(config, artifacts, [], lambda: next_position, lambda: catalog_version)


def test_without_a_model_it_looks_soon_and_again_and_again(artifacts):
    """Whatever is imported first is taken then."""
    waiting = schedule(artifacts, 1)
    assert (waiting._first_pause(), waiting._pause) == (SOON, SOON)
    publish(artifacts, age=0)
    assert waiting._pause == HOUR


def test_a_catalogue_is_news_as_long_as_nothing_else_was_learned(artifacts):
    assert not schedule(artifacts, 1)._has_news()
    assert schedule(artifacts, 1, catalog_version=2)._has_news()
    artifacts.publish(Manifest("v2025.01.14-001", NOW, 1, 1, {}, {}, {"acts": 0}), {})
    assert schedule(artifacts, 1, catalog_version=2)._has_news()
    publish(artifacts, age=0)
    assert not schedule(artifacts, 10, catalog_version=2)._has_news()


@pytest.mark.parametrize(("age", "pause"), [(600, HOUR - 600), (2 * HOUR, SOON), (-HOUR, HOUR)])
def test_with_a_model_it_is_when_that_is_as_old_as_the_interval(artifacts, age, pause):
    publish(artifacts, age)
    assert schedule(artifacts, 20)._first_pause() == pytest.approx(pause, abs=60)


def test_it_is_never_later_than_the_interval(artifacts):
    assert schedule(artifacts, 2, minutes=0.1)._first_pause() == 6


@pytest.mark.parametrize(("next_position", "is_news"), [(10, False), (11, True)])
def test_news_is_what_the_version_in_force_has_not_read(artifacts, next_position, is_news):
    publish(artifacts, age=0)
    assert schedule(artifacts, next_position)._has_news() is is_news


def test_a_damaged_version_in_force_is_a_reason_to_refresh(artifacts):
    publish(artifacts, age=0)
    (artifacts.folder("v2025.01.15-001") / "manifest.json").write_text("{}")
    assert schedule(artifacts, 10)._has_news()


def test_a_schedule_that_is_closed_starts_nothing(artifacts):
    closed = schedule(artifacts, 2, minutes=0.0001)
    closed.close()
    closed.look()
    time.sleep(0.01)
    closed.look()  # would raise: there is no command
