"""One stray quote costs one row."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from active_customers.importing.quotes import MARK, QuoteMender
from active_customers.importing.readers import read_batches
from active_customers.importing.source import Wanted


def mended(text: bytes, size: int = -1) -> bytes:
    mender = QuoteMender(io.BytesIO(text), ",")
    return b"".join(iter(lambda: mender.read(size), b""))


def test_a_row_whose_quote_is_never_closed_is_the_only_one_lost(tmp_path):
    rows = [f"c{i},view,p{i},2025-01-01T00:00:00Z" for i in range(10_000)]
    rows[100] = '"' + rows[100]
    path = tmp_path / "events.csv"
    path.write_text("customer_id,event_type,product_id,timestamp\n" + "\n".join(rows) + "\n")
    batches = list(read_batches(path, Wanted(("customer_id",)), 1000))
    rejects = [reject for batch in batches for reject in batch.rejects]
    assert sum(len(batch.rows) for batch in batches) == 9_999
    assert [(reject.row, "quote" in reject.remedy) for reject in rejects] == [(101, True)]


def test_at_the_end_of_the_file_too():
    assert mended(b'a,b\n1,"2\n3,4') == b"a,b\n" + MARK + b"1 '2\n3,4"
    assert mended(b'a,b\n1,2\n3,"4') == b"a,b\n1,2\n" + MARK + b"3 '4\n"


def test_values_of_several_lines_stay_as_they_are():
    text = b'a,b,c\n1,"two\nlines, and\nmore",3\n4,5,6\n"x ""quoted"" y",8,9\n'
    assert mended(text) == text


cells = st.text(st.sampled_from('ab"\n '), max_size=6)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=20), st.integers(1, 50))
def test_what_a_writer_of_csv_wrote_is_never_changed(rows, size):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["a", "b", "c"])
    writer.writerows(rows)
    text = out.getvalue().encode()
    assert mended(text, size) == text
