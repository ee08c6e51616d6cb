"""What was counted in plain numbers arrives in Prometheus, once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from active_customers.monitoring.tally import Tally, Timings

BOUNDS = (0.001, 0.01, 0.1)


def histogram(registry):
    return Histogram("seconds", "Time", ["route"], buckets=BOUNDS, registry=registry)


def samples(registry):
    """Return the exposition without the times at which metrics were created."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


times = st.one_of(st.floats(0, 1), st.sampled_from(BOUNDS))


@given(st.lists(st.lists(times, max_size=6), max_size=6))
def test_times_arrive_as_if_each_had_been_observed(rounds):
    """However often they are published: buckets, count and sum are those of the library itself."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    timings, direct = Timings(histogram(ours).labels("a")), histogram(theirs).labels("a")
    for observed in rounds:
        for seconds in observed:
            timings.add(seconds)
            direct.observe(seconds)
        timings.publish()
    mine, twins = samples(ours), samples(theirs)
    assert [line for line in mine if "_sum" not in line] == [line for line in twins if "_sum" not in line]
    totals = [registry.get_sample_value("seconds_sum", {"route": "a"}) for registry in (ours, theirs)]
    assert abs(totals[0] - totals[1]) < 1e-9


def test_counts_arrive_once():
    """Publishing again adds nothing."""
    registry = CollectorRegistry()
    tally = Tally(Counter("things", "Things", registry=registry))
    tally.add()
    tally.add(4)
    for _ in range(2):
        tally.publish()
        assert registry.get_sample_value("things_total") == 5
    tally.add(2)
    tally.publish()
    assert registry.get_sample_value("things_total") == 7
