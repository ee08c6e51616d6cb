"""Where a feed is broken is said by the line of its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.importing.test_feeds import feed, item

from active_customers.importing.feed_items import FeedReader
from active_customers.importing.source import Reject, Wanted

BROKEN = "<item>\n  <g:id>b</g:id>\n  <g:title>A & B</g:title>\n</item>"


def rejects(path: Path, block_bytes: int = 1 << 20) -> list[Reject]:
    batches = FeedReader(10, block_bytes).batches(path, Wanted(("id", "title")))
    return [reject for batch in batches for reject in batch.rejects]


@pytest.mark.parametrize("block_bytes", [7, 64, 1 << 20])
def test_the_line_where_an_item_broke_is_told_however_the_file_is_read(write_raw, block_bytes):
    content = feed(item("a"), "<!-- more -->\n\n", BROKEN, item("c"), "\n", BROKEN)
    path = write_raw("feed.xml", content)
    lines = [number for number, line in enumerate(content.decode().split("\n"), 1) if "A & B" in line]
    assert [(reject.row, reject.line) for reject in rejects(path, block_bytes)] == [(2, lines[0]), (4, lines[1])]
    assert rejects(path)[0].reason.startswith(
        f"line {lines[0]}: item: '<g:title>A & B</g:title>' is not valid: write it"
    )


def test_broken_items_are_one_kind_wherever_they_stand(write_raw):
    found = rejects(write_raw("feed.xml", feed(BROKEN, item("a"), BROKEN)))
    assert len({reject.kind for reject in found}) == 1


def test_lines_after_an_item_that_is_too_long_are_told_too(write_raw):
    content = feed("<item>" + "x\n" * (2 << 20) + "</item>", BROKEN)
    found = rejects(write_raw("feed.xml", content), 1 << 16)
    assert [reject.row for reject in found] == [1, 2]
    assert found[1].line == content.count(b"\n", 0, content.index(b"A & B")) + 1


def test_a_feed_that_is_cut_off_is_told_with_its_last_line(write_raw):
    content = feed(item("a"), BROKEN)
    [reject] = rejects(write_raw("feed.xml", content[: content.index(b"A & B")]))
    assert reject.line == 6


def test_of_a_long_line_the_place_where_it_broke_is_shown(write_raw):
    long = item("b", description="x" * 500 + " a & b " + "y" * 500)
    [reject] = rejects(write_raw("feed.xml", feed(item("a"), long)))
    assert " a & b " in reject.reason
