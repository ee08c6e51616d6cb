"""Published models: whole or not at all, and never altered unnoticed."""

from __future__ import annotations

import os
import shutil
from hashlib import sha256

import numpy as np
import orjson
import pytest
from tests.conftest import NOW

from active_customers.core.clock import DAY
from active_customers.core.errors import ArtifactError, InvalidValueError, StorageError, StoreLockedError
from active_customers.models.artifacts import FORMAT, ArtifactStore, DamagedArtifactError, Manifest

ARRAYS = {
    "popularity": {"scores": np.arange(5, dtype=np.float32), "empty": np.empty(0, np.int64)},
    "item_knn": {"viewed_offsets": np.arange(3)},
}


@pytest.fixture
def artifacts(tmp_path):
    return ArtifactStore(tmp_path / "models")


def publish(artifacts, version="v2025.01.15-001"):
    configs = {"popularity": {"half_life_days": 3.0}, "item_knn": {}}
    manifest = Manifest(version, NOW, 7, 5, configs, {}, {"acts": 12})
    artifacts.publish(manifest, ARRAYS)
    return manifest


def test_nothing_published_is_no_version(artifacts):
    assert artifacts.current() is None
    assert artifacts.versions() == []


def test_what_was_published_comes_back_whole_and_read_only(artifacts):
    manifest = publish(artifacts)
    assert artifacts.current() == manifest.version
    found, arrays = artifacts.load(manifest.version)
    assert (found.created, found.watermark, found.n_products, found.facts) == (NOW, 7, 5, {"acts": 12})
    assert found.configs == manifest.configs
    for model, columns in ARRAYS.items():
        for name, array in columns.items():
            np.testing.assert_array_equal(arrays[model][name], array)
            assert arrays[model][name].dtype == array.dtype
            assert not arrays[model][name].flags.writeable


@pytest.mark.parametrize("file", ["popularity.scores.npy", "item_knn.viewed_offsets.npy", "manifest.json"])
@pytest.mark.parametrize("change", ["altered", "cut", "emptied", "removed"])
def test_a_version_with_a_damaged_file_is_refused(artifacts, tmp_path, file, change):
    version = publish(artifacts).version
    path = tmp_path / "models" / version / file
    content = path.read_bytes()
    if change == "removed":
        path.unlink()
    else:
        altered = content[:-1] + bytes([content[-1] ^ 1])
        path.write_bytes({"altered": altered, "cut": content[:-1], "emptied": b""}[change])
    with pytest.raises(ArtifactError, match="run refresh"):
        artifacts.load(version)


def test_a_manifest_that_was_edited_by_hand_is_refused(artifacts, tmp_path):
    version = publish(artifacts).version
    path = tmp_path / "models" / version / "manifest.json"
    path.write_text(path.read_text().replace("3.0", "4.0"))
    with pytest.raises(ArtifactError, match=r"manifest\.json does not match its hash"):
        artifacts.load(version)


@pytest.mark.parametrize("version", ["v2025.01.15-002", "", "."])
def test_a_version_that_is_not_there_is_refused(artifacts, version):
    publish(artifacts)
    with pytest.raises(ArtifactError):
        artifacts.load(version)


def test_what_is_damaged_and_what_cannot_be_read_just_now_are_told_apart(artifacts, tmp_path):
    version = publish(artifacts).version
    path = tmp_path / "models" / version / "popularity.scores.npy"
    hidden = path.rename(path.with_suffix(".away"))
    with pytest.raises(ArtifactError) as caught:
        artifacts.load(version)
    assert not isinstance(caught.value, DamagedArtifactError)
    hidden.rename(path)
    artifacts.load(version)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedArtifactError, match="does not match its hash"):
        artifacts.load(version)


def test_only_one_publishes_at_a_time(artifacts, tmp_path):
    other = ArtifactStore(tmp_path / "models")
    with artifacts.exclusive(), pytest.raises(StoreLockedError, match="another refresh is running"), other.exclusive():
        pass
    with other.exclusive():
        publish(other)
    assert artifacts.current() == "v2025.01.15-001"


def test_what_a_dead_publisher_left_behind_is_cleared_away(artifacts, tmp_path):
    publish(artifacts)
    leftover = tmp_path / "models" / ".v2025.01.15-002.0123.tmp"
    leftover.mkdir()
    with artifacts.exclusive():
        assert not leftover.exists()
    assert artifacts.versions() == ["v2025.01.15-001"]


def test_versions_beyond_a_thousand_of_one_day_come_in_their_order(artifacts):
    for number in ("999", "1000", "998"):
        publish(artifacts, f"v2025.01.15-{number}")
    assert artifacts.versions() == ["v2025.01.15-998", "v2025.01.15-999", "v2025.01.15-1000"]
    assert artifacts.next_version(NOW) == "v2025.01.15-1001"
    artifacts.point_to("v2025.01.15-998")
    assert artifacts.prune(1) == ["v2025.01.15-999"]


def test_the_name_of_the_version_in_force_is_never_given_again(artifacts, tmp_path):
    publish(artifacts)
    shutil.rmtree(tmp_path / "models" / "v2025.01.15-001")
    assert artifacts.next_version(NOW) == "v2025.01.15-002"


def test_a_manifest_of_before_there_were_holes_is_read(artifacts, tmp_path):
    version = publish(artifacts).version
    folder = tmp_path / "models" / version
    document = orjson.loads((folder / "manifest.json").read_bytes())
    del document["holes"]
    content = orjson.dumps(document)
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sha256").write_text(sha256(content).hexdigest())
    assert artifacts.load(version)[0].holes == []


def test_a_version_of_another_format_is_refused_for_good(artifacts, tmp_path):
    publish(artifacts)
    folder = tmp_path / "models" / "v2025.01.15-001"
    document = orjson.loads((folder / "manifest.json").read_bytes()) | {"format": FORMAT - 1}
    (folder / "manifest.json").write_bytes(orjson.dumps(document))
    (folder / "manifest.sha256").write_text(sha256(orjson.dumps(document)).hexdigest())
    with pytest.raises(DamagedArtifactError, match=rf"has format {FORMAT - 1}, .* reads {FORMAT}: run refresh"):
        artifacts.load("v2025.01.15-001")


def test_versions_count_within_their_day(artifacts):
    names = []
    for now in (NOW, NOW, NOW + DAY):
        names.append(artifacts.next_version(now))
        publish(artifacts, names[-1])
    assert names == ["v2025.01.15-001", "v2025.01.15-002", "v2025.01.16-001"]
    assert artifacts.versions() == names
    assert artifacts.current() == names[-1]


def test_a_publisher_that_dies_before_the_rename_leaves_the_old_version_in_force(artifacts):
    publish(artifacts)

    class Dies:
        """Arrays whose second one cannot be written any more."""

        def items(self):
            yield "scores", np.arange(3)
            raise KeyboardInterrupt

    manifest = Manifest("v2025.01.15-002", NOW, 7, 5, {}, {}, {})
    with pytest.raises(KeyboardInterrupt):
        artifacts.publish(manifest, {"popularity": Dies()})
    assert artifacts.current() == "v2025.01.15-001"
    assert artifacts.versions() == ["v2025.01.15-001"]
    assert artifacts.next_version(NOW) == "v2025.01.15-002"
    publish(artifacts, "v2025.01.15-002")
    assert artifacts.current() == "v2025.01.15-002"
    artifacts.load("v2025.01.15-002")


def test_a_publisher_that_dies_before_pointing_leaves_the_old_version_in_force(artifacts, tmp_path):
    publish(artifacts)
    (tmp_path / "models" / f".current.{os.getpid()}.tmp").mkdir()  # the pointer cannot be written
    with pytest.raises(StorageError, match="current cannot be written"):
        publish(artifacts, "v2025.01.15-002")
    assert artifacts.current() == "v2025.01.15-001"
    assert artifacts.next_version(NOW) == "v2025.01.15-003"


def test_pruning_keeps_the_newest_and_the_one_in_force(artifacts):
    for number in range(1, 6):
        publish(artifacts, f"v2025.01.15-00{number}")
    artifacts.point_to("v2025.01.15-001")
    assert artifacts.prune(2) == ["v2025.01.15-002", "v2025.01.15-003"]
    assert artifacts.versions() == ["v2025.01.15-001", "v2025.01.15-004", "v2025.01.15-005"]
    artifacts.load("v2025.01.15-001")
    assert artifacts.prune(5) == []


@pytest.fixture
def three(artifacts):
    for number in range(1, 4):
        publish(artifacts, f"v2025.01.15-00{number}")
    return artifacts


def test_going_back_puts_the_version_before_in_force_and_again_the_one_before_that(three):
    assert not three.is_rolled_back()
    assert three.roll_back() == three.current() == "v2025.01.15-002"
    assert three.is_rolled_back()
    assert three.roll_back() == three.current() == "v2025.01.15-001"
    with pytest.raises(ArtifactError, match=r"no version before v2025\.01\.15-001: run refresh"):
        three.roll_back()
    assert three.current() == "v2025.01.15-001"


def test_going_to_the_newest_version_is_no_going_back(three):
    three.roll_back("v2025.01.15-001")
    assert three.is_rolled_back()
    three.roll_back("v2025.01.15-003")
    assert not three.is_rolled_back()


def test_a_version_that_is_published_after_going_back_is_not_gone_back_to(three):
    three.roll_back()
    publish(three, three.next_version(NOW))
    assert three.current() == "v2025.01.15-004"
    assert not three.is_rolled_back()


def test_going_back_to_a_version_that_is_not_there_names_those_that_are(three):
    with pytest.raises(InvalidValueError, match=r"version: 'v1' is not valid: published are v2025.01.15-001, .*-003"):
        three.roll_back("v1")
    assert three.current() == "v2025.01.15-003"


@pytest.mark.parametrize("file", ["popularity.scores.npy", "manifest.json"])
def test_going_back_to_a_damaged_version_is_refused(three, tmp_path, file):
    path = tmp_path / "models" / "v2025.01.15-002" / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DamagedArtifactError, match=rf"{file} does not match its hash"):
        three.roll_back()
    assert three.current() == "v2025.01.15-003"
    assert not three.is_rolled_back()


def test_going_back_where_nothing_was_published_says_so_and_makes_nothing(artifacts, tmp_path):
    with pytest.raises(ArtifactError, match="nothing was published yet: run refresh"):
        artifacts.roll_back()
    assert list(tmp_path.iterdir()) == []


def test_a_version_is_not_published_over_one_that_it_was_not_compared_with(three, tmp_path):
    three.roll_back()
    manifest = Manifest("v2025.01.15-004", NOW, 7, 5, {"popularity": {}, "item_knn": {}}, {}, {})
    with pytest.raises(ArtifactError, match=r"v2025\.01\.15-002 was put in force meanwhile: refresh again"):
        three.publish(manifest, ARRAYS, replacing="v2025.01.15-003")
    assert three.current() == "v2025.01.15-002"
    assert not list(tmp_path.rglob("*-004*"))
    three.publish(manifest, ARRAYS, replacing="v2025.01.15-002")
    assert three.current() == "v2025.01.15-004"


def test_a_version_that_was_only_reported_keeps_its_name(artifacts):
    artifacts.reports.mkdir(parents=True)
    (artifacts.reports / "v2025.01.15-007.json").write_text("{}")
    assert artifacts.next_version(NOW) == "v2025.01.15-008"
    assert artifacts.versions() == []


@pytest.fixture
def with_table(artifacts, tmp_path):
    """A version with a table beside its models."""
    table = tmp_path / "products.parquet"
    table.write_bytes(b"rows")
    version = "v2025.01.15-001"
    artifacts.publish(Manifest(version, NOW, 7, 5, {"popularity": {}, "item_knn": {}}, {}, {}), ARRAYS, tables=[table])
    return version


def test_a_table_moves_in_beside_the_models_and_is_none_of_their_arrays(artifacts, with_table, tmp_path):
    assert artifacts.table(with_table, "products").read_bytes() == b"rows"
    assert not (tmp_path / "products.parquet").exists()
    assert artifacts.load(with_table)[1].keys() == ARRAYS.keys()


def test_a_table_that_was_altered_is_refused_and_the_models_are_not(artifacts, with_table):
    artifacts.table(with_table, "products").write_bytes(b"rot")
    with pytest.raises(DamagedArtifactError, match=r"products\.parquet does not match its hash"):
        artifacts.table(with_table, "products")
    artifacts.load(with_table)


def test_a_table_that_a_version_does_not_have_is_said_with_what_to_do(artifacts, with_table):
    with pytest.raises(ArtifactError, match="no table of pairs: run refresh"):
        artifacts.table(with_table, "pairs")
