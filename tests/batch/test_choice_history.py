"""What bandits chose is read from archive and log, with what came of it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import NOW

from active_customers.batch.choice_history import Asked, ChoiceReader
from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import DAY, HOUR, ManualClock
from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.core.event import Channel, Context, EventType
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.writer import DirectWriter

LATER = NOW + 2 * DAY


class Shop:
    """A shop whose bandit chose, and whose customers acted on what they were shown."""

    def __init__(self, directory: DataDirectory, store: EmbeddedStore, make_event) -> None:
        self._directory, self._make_event = directory, make_event
        self.store = store
        self.signer = TokenSigner({0: bytes(32)})
        self.archive = Archive(directory.archive)
        self.product = store.catalog.number_products(["p", "other"])[0]
        self._made = 0

    def chose(self, customer: str, arm: str = "a", at: int = NOW, token: str | None = None, **said) -> str:
        """Log a choice; return the token of its answer."""
        self._made += 1
        shown = Shown(customer, at + self._made * 1_000_000, "v1", Context.HOME, Channel.WEB, [self.product])
        token = token or self.signer.sign(shown)
        metadata = {"bandit": "page", "version": 1, "arm": arm, "propensity": 0.5} | said
        details = {"recommendation_id": token, "metadata": metadata}
        self.store.events.append([self._make_event(customer, EventType.CHOICE, details=details)], at)
        return token

    def acted(self, customer: str, token: str, product: str = "p", at: int = NOW, kind=EventType.CLICK) -> None:
        event = self._make_event(customer, kind, product, details={"recommendation_id": token})
        self.store.events.append([event], at)

    def logged_in(self, customer: str, as_customer: str) -> None:
        event = self._make_event(as_customer, EventType.LOGIN, details={"other_customer_id": customer})
        self.store.events.append([event], NOW)

    def archived(self) -> None:
        DirectWriter(self._directory, self.store, ManualClock(NOW)).archive_log()

    def read(self, now: int = LATER, **asked):
        return ChoiceReader(self.store, self.archive, self.signer).read(Asked(**asked), now)


@pytest.fixture
def shop(tmp_path, make_event):
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    store = EmbeddedStore(directory.store, writer=True).open()
    yield Shop(directory, store, make_event)
    store.close()


def test_choices_come_from_archive_and_log_with_arm_propensity_and_reward(shop):
    first = shop.chose("x", "a", propensity=0.25)
    shop.chose("y", "b", propensity=0.75)
    shop.archived()
    shop.acted("x", first)
    shop.chose("x", "b", propensity=0.75)
    found = shop.read()
    assert found.choices.names == ("a", "b")
    assert found.choices.arms.tolist() == [0, 1, 1]
    assert found.choices.propensities.tolist() == [0.25, 0.75, 0.75]
    assert found.choices.rewards.tolist() == [1, 0, 0]
    customers = found.choices.customers.tolist()
    assert customers[0] == customers[2] != customers[1]
    assert found.choices.features is None
    assert (found.n_open, found.n_passed_over, found.n_unreadable, found.n_unverified) == (0, 0, 0, 0)


def test_what_is_in_archive_and_log_counts_once(shop):
    shop.chose("x")
    shop.chose("y")
    shop.archived()
    shop.archive.append(shop.store.events.read(1, 10))
    assert len(shop.read().choices) == 2


def test_a_retry_of_a_choice_is_no_second_one(shop):
    token = shop.chose("x")
    shop.chose("x", token=token)
    assert len(shop.read().choices) == 1


def test_a_reward_is_an_act_within_the_window(shop):
    soon, late = shop.chose("x"), shop.chose("y")
    shop.acted("x", soon, at=NOW + HOUR)
    shop.acted("y", late, at=NOW + HOUR + 1)
    assert shop.read(window=HOUR).choices.rewards.tolist() == [1, 0]
    assert shop.read(window=2 * HOUR).choices.rewards.tolist() == [1, 1]


def test_several_acts_on_an_answer_are_one_reward(shop):
    token = shop.chose("x")
    shop.acted("x", token)
    shop.acted("x", token)
    assert shop.read().choices.rewards.tolist() == [1]


def test_choices_younger_than_the_window_wait(shop):
    shop.chose("x", at=NOW)
    shop.chose("y", at=NOW + HOUR)
    found = shop.read(now=NOW + 2 * HOUR, window=2 * HOUR)
    assert (len(found.choices), found.n_open) == (1, 1)
    with pytest.raises(NoDataError, match="all 2 choices of page are younger than the window"):
        shop.read(now=NOW + HOUR, window=2 * HOUR)


def test_the_reward_asked_for_counts_and_no_other(shop):
    token = shop.chose("x")
    shop.acted("x", token)
    assert shop.read(reward="purchase").choices.rewards.tolist() == [0]
    shop.acted("x", token, kind=EventType.PURCHASE)
    assert shop.read(reward="purchase").choices.rewards.tolist() == [1]


def test_acts_on_what_was_not_shown_or_of_others_reward_nothing_and_are_counted(shop):
    token = shop.chose("x")
    shop.acted("x", token, "other")
    shop.acted("y", token)
    shop.acted("x", "no token of ours")
    found = shop.read()
    assert found.choices.rewards.tolist() == [0]
    assert found.n_unverified == 2


def test_choices_of_joined_customers_are_one_customers_and_their_acts_count(shop):
    as_guest = shop.chose("guest")
    shop.chose("anna")
    shop.logged_in("guest", "anna")
    shop.acted("anna", as_guest)
    found = shop.read()
    assert found.choices.clusters[1] == 1
    assert found.choices.rewards.tolist() == [1, 0]


def test_who_wants_no_profile_is_left_out(shop, make_event):
    shop.chose("x")
    shop.chose("y")
    shop.store.events.append([make_event("y", EventType.CONSENT, details={"consent": "none"})], NOW)
    found = shop.read()
    assert (len(found.choices), found.n_passed_over) == (1, 1)


def test_features_are_read_and_those_that_differ_in_number_are_not(shop):
    shop.chose("x", features=[0.5, 1])
    shop.chose("y", features=[0.5])
    shop.chose("y", features=[1.5, -2])
    found = shop.read()
    assert np.array_equal(found.choices.features, [[0.5, 1], [1.5, -2]])
    assert found.n_unreadable == 1


@pytest.mark.parametrize(
    "said",
    [
        {"propensity": 0},
        {"propensity": 1.5},
        {"propensity": None},
        {"propensity": "nan"},
        {"version": "first"},
        {"features": ["red"]},
        {"features": [float("nan")]},
    ],
)
def test_choices_that_do_not_say_what_they_must_are_counted(shop, said):
    shop.chose("x")
    shop.chose("x", **said)
    found = shop.read()
    assert (len(found.choices), found.n_unreadable) == (1, 1)


def test_the_newest_version_of_the_only_bandit_is_meant(shop):
    shop.chose("x", version=1)
    shop.chose("x", "new", version=2)
    assert shop.read().choices.names == ("new",)
    assert shop.read(version=1).choices.names == ("a",)
    with pytest.raises(InvalidValueError, match="page has chosen as 1, 2"):
        shop.read(version=3)


def test_where_there_are_several_bandits_one_must_be_named(shop):
    token = shop.chose("x")
    shop.chose("x", "b", token=token, bandit="shelves")
    assert shop.read(bandit="shelves").choices.names == ("b",)
    with pytest.raises(InvalidValueError, match="name one of page, shelves"):
        shop.read()
    with pytest.raises(InvalidValueError, match="did you mean shelves"):
        shop.read(bandit="shelve")


def test_a_shop_without_choices_says_so(shop):
    with pytest.raises(NoDataError, match="no bandit has chosen anything yet"):
        shop.read()


def test_a_reward_that_there_is_not_is_refused(shop):
    with pytest.raises(InvalidValueError, match="did you mean click"):
        shop.read(reward="clicks")
