"""The open loop charges a service for everyone who was due, and says how late it was itself."""

from __future__ import annotations

import time

import numpy as np
import pytest
from benchmarks.arrivals import Load, generate, summed_up
from benchmarks.errors import BenchmarkError
from benchmarks.generator import Arrivals, OpenLoop
from benchmarks.traffic import Traffic

RATE = 400.0
MILLISECOND = 1_000_000


def requests(post_every=0):
    return Traffic(post_every, [1, "two"], "run").request


def test_a_stall_counts_for_everyone_who_was_due_meanwhile(known_server):
    """One stall of 200 ms makes some 40 of those due in it wait 100 ms and more, though two connections were open.

    A closed loop would have counted two of them.
    """
    server = known_server(lambda number: (200, 0.2 if number == 100 else 0.0))
    timings = OpenLoop(server.port, Arrivals(RATE, seconds=1, connections=2), requests()).run()
    late = np.count_nonzero(timings.latency >= 100 * MILLISECOND)
    assert late >= 0.1 * RATE - 1
    assert timings.latency.max() >= 199 * MILLISECOND


def test_latencies_of_a_stall_fall_as_those_due_later_waited_less(known_server):
    """Each of those due in a stall waited from when it was due until its end, so each less than the one before."""
    server = known_server(lambda number: (200, 0.2 if number == 100 else 0.0))
    timings = OpenLoop(server.port, Arrivals(RATE, seconds=1, connections=64), requests()).run()
    waited = timings.latency[100:160] + (np.arange(60) * 1e9 / RATE).astype(np.int64)
    assert (waited >= 199 * MILLISECOND).all()


def test_a_service_that_is_always_slow_shows_its_delay_at_the_median(known_server):
    """A delay of 5 ms for one after the other, less often than that, is what p50 says at least."""
    server = known_server(lambda _number: (200, 0.005))
    arrivals = Arrivals(50, seconds=1)
    timings = OpenLoop(server.port, arrivals, requests()).run()
    assert summed_up(timings, arrivals, 0)["p50_ms"] >= 5


def test_a_service_that_cannot_keep_up_shows_a_growing_backlog(known_server):
    """Where 100 a second can be answered and 200 come, waiting grows without end, and fewer than due are answered."""
    server = known_server(lambda _number: (200, 0.01))
    arrivals = Arrivals(200, seconds=1, connections=4)
    timings = OpenLoop(server.port, arrivals, requests()).run()
    assert timings.latency[-1] >= 900 * MILLISECOND
    assert summed_up(timings, arrivals, 0)["achieved_per_second"] < 110


def test_every_request_is_sent_once_in_order(known_server):
    """The stream's requests are sent by number, none twice, and every n-th one is a post."""
    server = known_server()
    timings = OpenLoop(server.port, Arrivals(RATE, seconds=0.5, connections=1), requests(post_every=5)).run()
    assert len(server.requests) == len(timings.status) == 200
    assert [i for i, head in enumerate(server.requests) if head.startswith(b"POST")] == list(range(0, 200, 5))
    customers = [
        head.partition(b"customer_id=c")[2].partition(b"&")[0] for head in server.requests if head[:3] == b"GET"
    ]
    assert customers == [b"%d" % (i + i // 5) for i in range(200) if i % 5]


def test_those_who_post_are_asked_for_as_well():
    """A mix that never reads what it has just written would measure another shop."""
    stream = requests(post_every=5)
    posting, asking = set(), set()
    for number in range(60_000):
        sent = stream(number)
        if sent.startswith(b"POST"):
            posting.add(sent.partition(b'"customer_id":"c')[2].partition(b'"')[0])
        else:
            asking.add(sent.partition(b"customer_id=c")[2].partition(b"&")[0])
    assert len(posting) >= 5_000
    assert posting <= asking


def test_the_generator_says_how_late_it_was_itself(known_server):
    """Making a request that takes 100 ms makes the generator late for those due meanwhile, and its lag says so."""
    server = known_server()
    made = Traffic(0, [], "run")

    def slow(number):
        if number == 50:
            time.sleep(0.1)
        return made.request(number)

    timings = OpenLoop(server.port, Arrivals(RATE, seconds=0.5), slow).run()
    assert np.count_nonzero(timings.lag >= 50 * MILLISECOND) >= 0.05 * RATE - 1
    assert (timings.lag >= 0).all()
    assert (timings.latency >= timings.lag).all()


def test_refused_requests_are_no_measurement(known_server):
    """Any answer but a 2xx makes the figures refuse themselves, and says how many there were."""
    server = known_server(lambda number: (503 if number % 10 == 0 else 200, 0.0))
    arrivals = Arrivals(RATE, seconds=0.5)
    timings = OpenLoop(server.port, arrivals, requests()).run()
    assert np.count_nonzero(timings.status == 503) == 20
    with pytest.raises(BenchmarkError, match=r"20 of 200 requests failed \(20 x 503\)"):
        summed_up(timings, arrivals, 0)


def test_a_generator_of_its_own_process_measures_the_same(known_server):
    """From outside: the process is started, does its work, hands its timings over; kinds are told apart."""
    server = known_server()
    arrivals = Arrivals(RATE, seconds=1)
    timings = generate(Load(server.port, [1], 5), arrivals)
    found = summed_up(timings, arrivals, 5, warm_up_seconds=0.5)
    assert found["requests"] == 200
    assert set(found) >= {"get", "post", "generator_lag"}
    assert found["errors"] == 0
    assert timings.cpu_seconds > 0


def test_a_generator_that_meets_nobody_says_so():
    """Where nobody listens there is nothing to measure: an error, not a result."""
    with pytest.raises(BenchmarkError, match="the load generator ended early"):
        generate(Load(1, [1], 0), Arrivals(RATE, seconds=0.1))
