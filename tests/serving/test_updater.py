"""What is published is picked up, what is damaged is refused, and nothing ends the looking."""

from __future__ import annotations

import asyncio
import logging
import threading

import orjson
from tests.conftest import NOW
from tests.serving.conftest import publish, running, until

from active_customers.core.event import EventType
from active_customers.models.artifacts import ArtifactStore, DamagedArtifactError
from active_customers.realtime.engine import Engine
from active_customers.realtime.product_cards import ProductCards
from active_customers.serving.updater import ModelFollower, Updater, Work
from active_customers.storage.archive import Archive
from active_customers.storage.memory import MemoryStore
from active_customers.storage.writer import DirectWriter


def version_in_force(services):
    return services.health.report().model_version


async def name_shown(services):
    async def no_body():
        return {"type": "http.request"}

    reply = await services.hot.recommendations({"headers": [], "query_string": b"customer_id=x"}, no_body)
    return orjson.loads(reply.body)["recommendations"][0]["product_name"]


def test_the_first_answer_has_its_model(trained, clock):
    async def run():
        async with running(trained, clock) as services:
            return services.health.report()

    report = asyncio.run(run())
    assert (report.model_version, report.degraded, report.alive, report.ready) == ("v2025.01.15-001", [], True, True)
    assert (report.events, report.products) == (18, 3)


def test_a_new_version_is_picked_up(trained, clock):
    async def run():
        async with running(trained, clock) as services:
            await asyncio.to_thread(publish, trained, DirectWriter(trained, services.store), clock)
            await until(lambda: version_in_force(services) == "v2025.01.15-002")

    asyncio.run(run())


def test_a_damaged_version_is_refused_and_the_one_before_stays_until_a_good_one_comes(trained, clock, caplog):
    artifacts = ArtifactStore(trained.models)

    async def run():
        async with running(trained, clock) as services:
            await asyncio.to_thread(publish, trained, DirectWriter(trained, services.store), clock)
            await until(lambda: version_in_force(services) == "v2025.01.15-002")
            damaged = trained.models / "v2025.01.15-001" / "popularity.scores.npy"
            damaged.write_bytes(damaged.read_bytes()[:-1])
            artifacts.point_to("v2025.01.15-001")
            await until(lambda: "is refused" in caplog.text)
            assert version_in_force(services) == "v2025.01.15-002"
            artifacts.point_to("v0000.00.00-000")
            await until(lambda: caplog.text.count("is refused") == 2)
            assert version_in_force(services) == "v2025.01.15-002"
            await asyncio.to_thread(publish, trained, DirectWriter(trained, services.store), clock)
            await until(lambda: version_in_force(services) == "v2025.01.15-003")

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "does not match its hash" in caplog.text


def test_a_service_starts_with_the_newest_version_that_can_be_read(trained, clock, caplog):
    async def publish_twice():
        async with running(trained, clock) as services:
            for _ in range(2):
                await asyncio.to_thread(publish, trained, DirectWriter(trained, services.store), clock)

    async def run():
        async with running(trained, clock) as services:
            found = version_in_force(services)
            await asyncio.to_thread(publish, trained, DirectWriter(trained, services.store), clock)
            await until(lambda: version_in_force(services) == "v2025.01.15-004")
            return found

    asyncio.run(publish_twice())
    (trained.models / "v2025.01.15-003" / "manifest.json").write_text("{}")
    assert asyncio.run(run()) == "v2025.01.15-002"
    assert "model v2025.01.15-003 is refused, v2025.01.15-002 is in force: " in caplog.text
    assert "Traceback" not in caplog.text


def test_a_version_that_could_not_be_read_is_taken_once_it_can_be(trained, clock, caplog):
    path = trained.models / "v2025.01.15-001" / "popularity.scores.npy"
    hidden = path.rename(path.with_suffix(".away"))

    async def run():
        async with running(trained, clock) as services:
            assert version_in_force(services) == "none"
            hidden.rename(path)
            await until(lambda: version_in_force(services) == "v2025.01.15-001")

    asyncio.run(run())
    assert caplog.text.count("is refused") == 1


def test_a_service_starts_without_the_model_that_it_cannot_read(trained, clock, caplog):
    (trained.models / "v2025.01.15-001" / "manifest.json").write_text("{}")

    async def run():
        async with running(trained, clock) as services:
            return services.health.report()

    report = asyncio.run(run())
    assert (report.ready, report.model_version, report.degraded) == (True, "none", ["no_model"])
    assert "is refused" in caplog.text


def test_the_log_moves_to_the_archive_and_the_catalogue_is_followed(directory, clock, make_event):
    async def run():
        async with running(directory, clock) as services:
            await services.parts.committer.append([make_event("a", EventType.VIEW, "p")])
            await until(lambda: Archive(directory.archive).parts())
            await until(lambda: services.store.events.read(1, 10) == [])
            assert await name_shown(services) == "p"
            await asyncio.to_thread(services.products.put, "p", b'{"name": "Pan"}')
            assert await name_shown(services) == "Pan"

    asyncio.run(run())


def test_a_failure_is_logged_and_the_work_goes_on(directory, clock, make_event, caplog):
    async def run():
        async with running(directory, clock) as services:
            directory.archive.write_text("in the way")
            await services.parts.committer.append([make_event("a", EventType.VIEW, "p")])
            await until(lambda: "will be tried again" in caplog.text)
            assert services.health.report().ready
            directory.archive.unlink()
            await until(lambda: Archive(directory.archive).parts())

    asyncio.run(run())


def test_stopping_waits_for_the_work_that_is_under_way(directory, clock, make_event):
    async def run():
        for _ in range(15):
            async with running(directory, clock, poll_seconds=0.0001) as services:
                for _ in range(10):
                    await services.parts.committer.append([make_event("a", EventType.VIEW, "p")])

    asyncio.run(run())
    archived = Archive(directory.archive).columns(["position", "time"])
    assert archived["time"].tolist() == [NOW] * len(archived["position"])


def test_no_work_waits_for_another_one_or_for_commands():
    """A heartbeat must not stop because everything else is busy: the supervisor would kill a healthy process."""
    release, beats = threading.Event(), []

    async def run():
        busy = [Work(release.wait, 0.001) for _ in range(12)]
        updater = Updater([*busy, Work(lambda: beats.append(None), 0.001)])
        updater.start()
        commands = [asyncio.create_task(asyncio.to_thread(release.wait)) for _ in range(40)]
        try:
            await until(lambda: len(beats) >= 5)
        finally:
            release.set()
            await updater.stop()
            await asyncio.gather(*commands)

    asyncio.run(run())


class Fading:
    """Published versions that cannot be read any more once somebody was erased."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self.artifacts = artifacts
        self.erased = 0

    def current(self):
        return self.artifacts.current()

    def versions(self):
        return self.artifacts.versions()

    def n_erased(self):
        return self.erased

    def load(self, version):
        if self.erased:
            raise DamagedArtifactError(f"{version} is gone")
        return self.artifacts.load(version)


def test_a_version_that_cannot_be_loaded_without_the_erased_is_not_used_with_them(trained, clock, caplog):
    """It is refused aloud; answers go on without it rather than with whom it must not know."""
    store = MemoryStore()
    engine = Engine(store, ProductCards(store.catalog), clock)
    versions = Fading(ArtifactStore(trained.models))
    follower = ModelFollower(versions, engine, clock)
    follower.follow()
    assert engine.recommender.manifest is not None
    versions.erased = 1
    follower.follow()
    assert engine.recommender.manifest is None
    assert "is refused, no other is in force" in caplog.text
