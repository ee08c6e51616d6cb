"""A shop with a catalogue and no events: a refresh publishes what the catalogue says, and what comes after goes on."""

from __future__ import annotations

import numpy as np
import pytest

from active_customers.batch.daily_refresh import ModelConfigs, Refresh, RefreshConfig, lines_about
from active_customers.core.event import EventType
from active_customers.core.product import Product
from active_customers.core.session import SessionQuery
from active_customers.models.artifacts import ArtifactStore
from active_customers.realtime.session_recommender import load_models
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter

CATALOGUE = [
    Product("oak", name="Oak board", category="Kitchen > Boards", brand="Mare"),
    Product("beech", name="Beech board", category="Kitchen > Boards", brand="Mare"),
    Product("lamp", name="Desk lamp", category="Office > Lamps", brand="Lux"),
    Product("light", name="Floor lamp", category="Office > Lamps", brand="Lux"),
]


@pytest.fixture
def directory(tmp_path):
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    return directory


@pytest.fixture
def embedded(directory):
    store = EmbeddedStore(directory.store, writer=True).open()
    store.catalog.put_products(CATALOGUE)
    yield store
    store.close()


@pytest.fixture
def refresh(directory, embedded, clock):
    def run(models=None):
        job = Refresh(directory, clock, RefreshConfig(), models or ModelConfigs())
        catalogue = dict(embedded.catalog.products())
        return job.run(DirectWriter(directory, embedded), lambda _done, _total: None, catalogue=catalogue)

    return run


def alike(directory, *products: int) -> list[int]:
    artifacts = ArtifactStore(directory.models)
    hybrid = load_models(*artifacts.load(artifacts.current() or "")).hybrid
    n = len(products)
    asked = SessionQuery(np.array(products, np.uint32), np.ones(n, np.uint8), np.zeros(n, np.int64), 0)
    return hybrid.candidates(asked, 5, asked.products).products.tolist()


def test_products_are_known_by_what_the_catalogue_says_before_anybody_acted(refresh, directory):
    manifest = refresh()
    assert (manifest.facts["acts"], manifest.facts["described"]) == (0, 4)
    assert "no acts yet, 4 products are known" in lines_about(manifest)[0]
    assert alike(directory, 0) == [1]
    assert alike(directory, 2) == [3]


def test_another_refresh_without_events_and_one_with_other_settings_publish_as_well(refresh):
    first = refresh()
    second = refresh()
    other = refresh(ModelConfigs.model_validate({"hybrid": {"content": {"brand": 2.0}}}))
    assert first.version < second.version < other.version
    assert other.facts["gate"]["outcome"] == "not_compared"


def test_the_first_events_are_learned_beside_it(refresh, embedded, directory, make_event, clock):
    refresh()
    visits = [make_event(f"c{i}", EventType.VIEW, p, clock.now() - i) for i in range(4) for p in ("oak", "lamp")]
    embedded.events.append(visits, clock.now())
    manifest = refresh()
    assert manifest.facts["acts"] == 8
    assert set(alike(directory, 0)) == {1, 2}  # by the catalogue, and by visits
