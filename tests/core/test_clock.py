import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.clock import DAY, HOUR, MINUTE, SECOND, SystemClock, day_of, format_time, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2025-01-01T12:00:00Z", 1735732800), ("2025-01-01T13:00:00+01:00", 1735732800), ("1970-01-01T00:00:00Z", 0)],
)
def test_timestamps_with_a_zone_are_read(text, seconds):
    assert parse_time(text) == seconds * 1_000_000


@pytest.mark.parametrize(
    "text", ["2025-01-01T12:00:00", "1969-12-31T23:59:59Z", "yesterday", "", "2025-13-01T00:00:00Z"]
)
def test_others_are_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the messages are the standard library's
        parse_time(text)


@given(st.integers(min_value=0, max_value=4_102_444_800_000_000))
def test_times_survive_being_written(time):
    assert parse_time(format_time(time)) == time


def test_days_are_utc():
    assert day_of(parse_time("2025-01-01T23:30:00-02:00")) == "2025-01-02"


class Machine:
    """The clock of a machine that somebody sets."""

    def __init__(self, microseconds: int) -> None:
        self.time = microseconds

    def __call__(self) -> int:
        return self.time * 1000


SMALL = st.integers(0, 10 * MINUTE)


@given(st.lists(st.tuples(SMALL, st.one_of(st.just(0), st.integers(-3 * DAY, 3 * DAY))), max_size=30))
def test_whatever_is_done_to_the_machines_clock_time_never_goes_back_nor_lags(steps):
    """It is never behind what the machine says, and passes at half the machine's pace where it is ahead."""
    machine = Machine(1000 * DAY)
    clock = SystemClock(machine)
    told = clock.now()
    for passed, jump in steps:
        machine.time += jump
        jumped = clock.now()
        machine.time += passed
        now = clock.now()
        assert machine.time - passed <= jumped >= told
        assert now >= max(machine.time, jumped)
        assert now == machine.time or now - jumped >= passed // 2
        told = now


@given(st.integers(SECOND, 3 * DAY), st.lists(SMALL, max_size=10))
def test_after_being_set_back_it_meets_the_machines_clock_again(back, pauses):
    """However often it is asked meanwhile; from then on both are the same."""
    machine = Machine(1000 * DAY)
    clock = SystemClock(machine)
    clock.now()
    machine.time -= back
    for passed in pauses:
        clock.now()
        machine.time += passed
    machine.time = max(machine.time, 1000 * DAY + back)
    assert clock.now() == machine.time
    machine.time += 1
    assert clock.now() == machine.time


def test_a_clock_that_is_set_forward_is_believed_at_once():
    machine = Machine(1000 * DAY)
    clock = SystemClock(machine)
    clock.now()
    machine.time += 5 * DAY
    assert clock.now() == 1005 * DAY


def test_a_clock_that_is_set_back_is_reported_once_with_the_remedy(caplog):
    """A step of a millisecond, as time services make them, is no news."""
    machine = Machine(1000 * DAY)
    clock = SystemClock(machine)
    for back in (0, 1_000, 2 * HOUR, 0, 0):
        machine.time -= back
        clock.now()
    (told,) = [record.getMessage() for record in caplog.records]
    assert "was set back by 2:00:00.001000" in told
    assert "restart the service to go by the new time at once" in told
