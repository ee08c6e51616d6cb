"""One process writes the live index at full speed while another one reads it."""

import subprocess
import sys

import numpy as np
import pytest

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import SessionQuery
from active_customers.kernels.live_index import GENERATION
from active_customers.realtime.live_index import LiveIndex, LiveIndexConfig
from active_customers.realtime.live_reader import LiveReader
from active_customers.storage.live_files import read_live_files

CONFIG = LiveIndexConfig(
    max_sessions=2000, session_acts=6, sessions_per_product=20, max_products=10_000, segment_rows=64
)
MARKER = 9_000
ANSWERS = 4_000

WRITER = f"""
import sys
from itertools import count
from pathlib import Path

import numpy as np

from active_customers.realtime.live_index import LiveIndex, LiveIndexConfig

folder = Path(sys.argv[1])
index = LiveIndex(folder, LiveIndexConfig.model_validate_json(sys.argv[2])).open()
rng = np.random.default_rng(1)
for batch in count():
    n = 300
    session = 100 * batch + rng.integers(1, 100, n)
    columns = {{
        "position": np.arange(index.watermark, index.watermark + n),
        "session": session,
        "customer": session % 50,
        "product": rng.integers(0, min(50 + 4 * batch, 5_000), n),
        "event_type": np.where(rng.random(n) < 0.002, 70, 1),
        "time": 10**15 + 10**6 * (batch + rng.integers(0, 3, n)),
    }}
    if (folder / "show-marker").exists():
        columns["session"][-2:] = 100 * batch + 100
        columns["product"][-2:] = 0, {MARKER}
        columns["event_type"][-2:] = 1
    index.learn(columns)
    if batch % 20 == 0:
        index.checkpoint()
    if batch == 0:
        print("ready", flush=True)
"""


@pytest.fixture
def writer(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path), CONFIG.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def ask(products):
    n = len(products)
    return SessionQuery(np.array(products, np.uint32), np.ones(n, np.uint8), np.zeros(n, np.int64), now=0)


def check(candidates, query):
    products, scores = candidates.products, candidates.scores
    assert len(np.unique(products)) == len(products) <= 20
    assert (products < CONFIG.max_products).all()
    assert np.isfinite(scores).all()
    assert (scores > 0).all()
    assert (np.diff(scores) <= 0).all()
    assert set(candidates.evidence.tolist()) <= {*query, NO_NUMBER}


def test_while_the_index_is_written_every_answer_is_well_formed_and_news_arrive(writer, tmp_path):
    reader, rng = LiveReader(tmp_path), np.random.default_rng(2)
    marker_seen, answered, generations = False, 0, set()
    for asked in range(200_000):
        query = rng.integers(0, 5_000 if asked % 2 else 60, rng.integers(1, 11)).tolist()
        candidates = reader.candidates(ask(query), 20, customer=int(rng.integers(0, 50)))
        check(candidates, query)
        check(reader.popular(20), query)
        answered += len(candidates.products) > 0
        generations.add(int(read_live_files(tmp_path)[0].header[GENERATION]))
        if asked == ANSWERS // 2:
            assert MARKER not in reader.candidates(ask([0]), 1000).products
            (tmp_path / "show-marker").touch()
        marker_seen = marker_seen or MARKER in reader.candidates(ask([0]), 1000).products
        if marker_seen and asked > ANSWERS:
            break
    assert marker_seen
    assert answered > ANSWERS // 2
    assert len(generations) > 1
    assert writer.poll() is None


def test_a_writer_killed_at_any_moment_is_followed_by_one_that_reads_on(writer, tmp_path):
    reader = LiveReader(tmp_path)
    while reader.watermark < 10_000:
        assert writer.poll() is None
    writer.kill()
    writer.wait()
    index = LiveIndex(tmp_path, CONFIG).open()
    watermark, sessions = index.watermark, index.n_sessions
    assert watermark > 1
    assert 0 < sessions == len(index.contents().sessions) <= CONFIG.max_sessions
    position = np.array([watermark, watermark + 1])
    news = {"position": position, "session": position * 0 + 5, "product": np.array([0, MARKER])}
    index.learn(news | {"customer": position * 0, "event_type": position * 0 + 1, "time": position * 0 + 10**15})
    assert MARKER in reader.candidates(ask([0]), 1000).products
