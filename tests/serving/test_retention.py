"""An erased customer leaves everything that a running service holds, and what is old goes by itself."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tests.conftest import NOW
from tests.serving.conftest import publish, running, until

from active_customers.core.clock import DAY, HOUR, ManualClock
from active_customers.core.errors import StorageError, UnknownCustomerError
from active_customers.core.event import EventType
from active_customers.core.session import SessionQuery
from active_customers.importing.folder import REJECTS, import_lock
from active_customers.models.artifacts import ArtifactStore
from active_customers.models.hybrid_model import Hybrid
from active_customers.models.trained import TrainedModels
from active_customers.serving.eraser import Eraser
from active_customers.serving.retention import Retention, RetentionConfig
from active_customers.storage.archive import Archive
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter


@pytest.fixture
def store(trained):
    store = EmbeddedStore(trained.store, writer=True).open()
    yield store
    store.close()


@pytest.fixture
def writer(trained, store, clock) -> DirectWriter:
    return DirectWriter(trained, store, clock)


def retention(directory, store, clock, config: RetentionConfig) -> Retention:
    return Retention(DirectWriter(directory, store, clock), store, directory, config, clock, rejects_days=7)


def sessions_that_vote(models: TrainedModels) -> list[int]:
    """Return the customers whose sessions have a weight in the current version."""
    version = models.current()
    arrays = models.load(version)[1]["hybrid"]
    return arrays["session_knn_customers"][arrays["session_knn_session_weights"] > 0].tolist()


def weights(engine) -> int:
    """Return how many sessions of the model in force have a vote."""
    return int(np.count_nonzero(engine.recommender._models.hybrid.sessions.index.session_weights))


def test_models_trained_before_pass_over_an_erased_customer(trained, store, writer):
    """A version is filtered when it is loaded, the older ones after a rollback as well; none is written again."""
    models = TrainedModels(ArtifactStore(trained.models), store.erasures)
    assert sorted(sessions_that_vote(models)) == [0, 1, 2, 3, 4, 5]
    writer.erase("c2")
    assert models.n_erased() == 1
    assert sorted(sessions_that_vote(models)) == [0, 1, 3, 4, 5]
    manifest, arrays = models.load(models.current())
    model = Hybrid.from_arrays(arrays["hybrid"], manifest.configs["hybrid"])
    assert 2 in model.arrays()["session_knn_customers"]  # the file is as it was


def test_a_new_model_learns_nothing_of_an_erased_customer(trained, store, writer, clock):
    """At once: before their rows have been overwritten."""
    writer.erase("c2")
    assert store.erasures.n_pending() == 1
    publish(trained, writer, clock)
    models = TrainedModels(ArtifactStore(trained.models), store.erasures)
    assert sorted(models.load(models.current())[1]["hybrid"]["session_knn_customers"].tolist()) == [0, 1, 3, 4, 5]


def test_going_back_brings_no_erased_customer_back(trained, clock):
    """The version before holds their sessions; whoever answers with it passes over them."""
    store = EmbeddedStore(trained.store, writer=True).open()
    publish(trained, DirectWriter(trained, store), clock)
    store.close()

    async def run():
        async with running(trained, clock) as services:
            engine = services.health._engine
            await asyncio.to_thread(services.eraser.erase, "c2")
            assert ArtifactStore(trained.models).roll_back() == "v2025.01.15-001"
            await until(lambda: engine.recommender.manifest.version == "v2025.01.15-001")
            assert 2 in engine.recommender._models.hybrid.arrays()["session_knn_customers"]
            return weights(engine)

    assert asyncio.run(run()) == 5


def test_a_running_service_takes_an_erased_customer_out_of_model_and_archive(trained, clock):
    """The model in force is made again within a look, the archive overwritten by the upkeep."""

    async def run():
        async with running(trained, clock) as services:
            engine = services.health._engine
            assert weights(engine) == 6
            receipt = await asyncio.to_thread(services.eraser.erase, "c2")
            assert receipt.models == ["v2025.01.15-001"]
            await until(lambda: weights(engine) == 5)
            await until(lambda: services.store.erasures.of("c2").archive_done is not None)
            return receipt

    receipt = asyncio.run(run())
    assert (receipt.log_entries, receipt.archive_rows) == (0, 3)
    assert 2 not in Archive(trained.archive).columns(["customer"], "event_type < 64")["customer"].tolist()


def test_the_receipt_says_what_went_where_and_until_when(trained, store, writer, make_event):
    """For people and for programs the same; without the id, which is one that no hash can happen to contain."""
    store.events.append([make_event("guest", EventType.VIEW, f"p{i}") for i in range(3)], NOW)
    writer.archive_log()
    eraser = Eraser(writer.erase, store.erasures, trained.models, RetentionConfig(erase_hours=2), 7.0, 30.0)
    receipt = eraser.erase("guest")
    assert (receipt.receipt, receipt.session_state, receipt.archive_rows) == (22, True, 3)
    assert receipt.archive_due == "2025-01-15T14:00:00Z"
    assert receipt.archive_done is None
    assert any("3 rows, overwritten until 2025-01-15T14:00:00Z" in line for line in receipt.lines())
    writer.finish_erasures()
    assert eraser.erase("guest").archive_done == "2025-01-15T12:00:00Z"
    assert "guest" not in receipt.model_dump_json() + " ".join(receipt.lines())
    with pytest.raises(UnknownCustomerError, match="nobody"):
        eraser.erase("nobody")


def test_erasures_that_come_close_together_share_a_pass(trained, store, clock):
    """The first is done at once; what comes within the next 24th of the bound waits for its end."""
    upkeep = retention(trained, store, clock, RetentionConfig(erase_hours=24))
    for customer, hours, pending in (("c0", 0, 0), ("c1", 0.5, 1), ("c2", 0.25, 2), (None, 0.25, 0)):
        clock.advance(int(hours * HOUR))
        if customer:
            upkeep.writer.erase(customer)
        upkeep.run()
        assert store.erasures.n_pending() == pending


def test_a_damaged_archive_is_not_read_again_with_every_run(trained, store, clock):
    """It is named once a pass, the other upkeep goes on, and when it is whole again the next pass ends the erasure."""
    part = Archive(trained.archive).parts()[0].path
    whole = part.read_bytes()
    upkeep = retention(trained, store, clock, RetentionConfig(erase_hours=24))
    upkeep.writer.erase("c0")
    part.write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        with pytest.raises(StorageError, match=str(part)):
            upkeep.run()
        upkeep.run()
        clock.advance(HOUR)
    part.write_bytes(whole)
    upkeep.run()
    assert store.erasures.n_pending() == 0


def test_old_days_go_when_that_is_asked_for(trained, store, clock):
    """By default the archive is kept for ever."""
    clock.advance(40 * DAY)
    retention(trained, store, clock, RetentionConfig()).run()
    assert len(Archive(trained.archive).parts()) == 1
    retention(trained, store, clock, RetentionConfig(archive_days=39)).run()
    assert Archive(trained.archive).parts() == []


def test_anonymous_customers_go_but_not_while_an_import_is_under_way(trained, store, clock, make_event):
    """An import may have numbered them, and would bring acts of nobody."""
    folder = trained.imports / "2025-05-24T120000Z-abcd"
    later = ManualClock(NOW + 130 * DAY)
    store.events.append([make_event("new", EventType.VIEW, "p0", later.now())], later.now())
    upkeep = retention(trained, store, later, RetentionConfig())
    for under_way in (True, False):
        if under_way:
            folder.mkdir(parents=True)
            (folder / "part-1").touch()
            store.events.note_import(folder.name)
        else:
            (folder / "part-1").unlink()
        for _ in range(2):
            upkeep.run()
            later.advance(DAY)
        assert (store.sessions.state("c0") is None) != under_way
    assert store.sessions.state("new") is not None


def test_what_dead_imports_left_behind_goes_within_the_bound(trained, store, clock):
    """Sealed or not; a running import and one that is being adopted are left alone, and rejects have their own time."""
    names = ("2025-01-15T120000Z-dead", "2025-01-15T120000Z-adopted", "2025-01-15T120000Z-rejects")
    dead, adopted, rejects = (trained.imports / name for name in names)
    for folder in (dead, adopted, rejects):
        folder.mkdir(parents=True)
        (folder / (REJECTS if folder is rejects else "staged.json")).touch()
    store.events.note_import(adopted.name)
    upkeep = retention(trained, store, clock, RetentionConfig())
    clock.advance(25 * HOUR)
    with import_lock(trained.imports):
        upkeep.run()
    assert dead.exists()
    upkeep.run()
    assert [folder.exists() for folder in (dead, adopted, rejects)] == [False, True, True]
    store.events.forget_import(adopted.name)
    clock.advance(7 * DAY)
    upkeep.run()
    assert not rejects.exists()


def test_sessions_without_weight_have_no_vote(trained, store, writer):
    """What only an erased customer brought together is not proposed; a score of 0 is no candidate."""
    models = TrainedModels(ArtifactStore(trained.models), store.erasures)
    for number in range(6):
        writer.erase(f"c{number}")
    manifest, arrays = models.load(models.current())
    model = Hybrid.from_arrays(arrays["hybrid"], manifest.configs["hybrid"])
    query = SessionQuery(np.array([0], np.uint32), np.ones(1, np.uint8), np.zeros(1, np.int64), NOW)
    assert len(model.sessions.candidates(query, 5).products) == 0
