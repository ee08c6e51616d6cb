"""The files of the live index."""

from pathlib import Path

from active_customers.kernels.live_index import GENERATION
from active_customers.storage.live_files import LiveFiles, product_columns, read_live_files, session_columns


def sizes(folder, columns):
    return sum(column.path(folder).stat().st_size for column in columns.values())


def test_the_files_take_what_the_layout_says_and_the_docs_state(tmp_path):
    files = LiveFiles(tmp_path, acts_kept=30, ring_length=200)
    files.open()
    files.grow(1000, 3000)
    per_session = sizes(tmp_path, session_columns(30)) // 1000
    per_product = sizes(tmp_path, product_columns(200)) // 3000
    page = (Path(__file__).parents[2] / "docs" / "live-index.md").read_text()
    assert f"a session takes {per_session} bytes" in page
    assert f"a product {per_product} bytes" in page


def test_readers_see_what_the_writer_writes(tmp_path):
    files = LiveFiles(tmp_path, 3, 2)
    files.open()
    live, counts = files.grow(2, 4)
    seen, seen_counts = read_live_files(tmp_path)
    live.records[4] = 7
    counts.totals[1] = 0.5
    assert seen.records[4] == 7
    assert seen_counts.totals[1] == 0.5
    assert (seen.acts_kept, seen.ring_length, seen.generation) == (3, 2, live.generation)
    assert [len(array) for array in (seen.products, seen.rings, seen.ends, seen_counts.popular)] == [6, 8, 4, 4]


def test_growth_is_told_by_the_generation_in_the_header(tmp_path):
    files = LiveFiles(tmp_path, 3, 2)
    files.open()
    seen, _ = read_live_files(tmp_path)
    files.grow(5, 0)
    assert seen.header[GENERATION] != seen.generation
    again, _ = read_live_files(tmp_path)
    assert again.header[GENERATION] == again.generation
    assert len(again.products) == 15


def test_files_of_unequal_length_are_read_as_far_as_all_of_them_go(tmp_path):
    files = LiveFiles(tmp_path, 3, 2)
    files.open()
    files.grow(2, 4)
    product_columns(2)["rings"].grow(tmp_path, 9)  # a writer that died, or is in the middle of growing
    seen, counts = read_live_files(tmp_path)
    assert [len(seen.rings), len(seen.ends), len(counts.longer)] == [8, 4, 4]
    live, _ = LiveFiles(tmp_path, 3, 2).open()
    assert [len(live.rings), len(live.ends)] == [18, 9]


def test_an_index_that_is_not_there_or_being_made_is_none(tmp_path):
    assert read_live_files(tmp_path / "live") is None
    files = LiveFiles(tmp_path, 3, 2)
    files.open()
    product_columns(2)["ends"].path(tmp_path).unlink()
    assert read_live_files(tmp_path) is None
    (tmp_path / "header-i8x8.array").write_bytes(bytes(64))
    assert read_live_files(tmp_path) is None


def test_another_layout_gets_files_of_its_own_and_the_old_readers_keep_theirs(tmp_path):
    files = LiveFiles(tmp_path, 3, 2)
    files.open()
    files.grow(2, 4)
    old, _ = read_live_files(tmp_path)
    LiveFiles(tmp_path, 5, 7).open()
    assert old.header[GENERATION] != old.generation
    assert old.products.tolist() == [0] * 6
    new, _ = read_live_files(tmp_path)
    assert (new.acts_kept, new.ring_length, len(new.products)) == (5, 7, 10)
    assert len(list(tmp_path.glob("products-*"))) == 1
