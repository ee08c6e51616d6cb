"""A simulated shop of which a part was learned from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.refreshed_shop import Shop, write_history


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> tuple[Path, Path]:
    return write_history(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def published(tmp_path_factory, simulated) -> Shop:
    """The shop with a model of all but the newest days, which have been logged since; for reading only."""
    shop = Shop(tmp_path_factory.mktemp("published") / "data")
    shop.take(simulated[0])
    shop.refresh()
    shop.take(simulated[1])
    return shop


@pytest.fixture
def shop(tmp_path, published) -> Shop:
    """A copy of it, for changing."""
    return Shop(shutil.copytree(published.directory.root, tmp_path / "data"))
