"""The simulated clock, and what every clock promises."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.conftest import NOW

from active_customers.core.clock import SECOND, Clock, ManualClock, SystemClock
from active_customers.core.errors import StorageError
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.simulated_clock import SimulatedClock, clock_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clock"


@pytest.fixture
def simulated(path) -> SimulatedClock:
    return SimulatedClock(path).open(NOW)


@pytest.fixture(params=["system", "manual", "simulated"])
def any_clock(request, simulated) -> Clock:
    return {"system": SystemClock(), "manual": ManualClock(NOW), "simulated": simulated}[request.param]


def test_a_clock_tells_whole_microseconds_of_this_century_and_never_goes_back(any_clock):
    """What every implementation keeps, however often it is asked."""
    times = [any_clock.now() for _ in range(1_000)]
    assert times == sorted(times)
    assert all(type(time) is int for time in times)
    assert NOW <= times[0] <= times[-1] < NOW * 2


def test_it_stands_still_until_it_is_moved(simulated):
    assert {simulated.now() for _ in range(10)} == {NOW}
    assert simulated.move(lambda now: now + SECOND) == simulated.now() == NOW + SECOND


def test_everybody_who_has_it_open_sees_a_move_at_once(path, simulated):
    """Another object here, and another process."""
    other = SimulatedClock(path).open(0)
    program = f"""
from pathlib import Path
from active_customers.storage.simulated_clock import SimulatedClock
clock = SimulatedClock(Path({str(path)!r})).open(0)
for line in open(0):
    print(clock.now(), flush=True)
clock.move(lambda now: now + 5)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for now in (NOW, NOW + 7):
            simulated.move(lambda _now, new=now: new)
            process.stdin.write("\n")
            process.stdin.flush()
            assert int(process.stdout.readline()) == now
        process.stdin.close()
        assert process.wait(60) == 0
    assert other.now() == simulated.now() == NOW + 12


def test_it_is_found_again_as_it_was_left(path, simulated):
    """What it is to begin at counts only for a new one."""
    simulated.move(lambda now: now + 1)
    assert SimulatedClock(path).open(NOW + 10**9).now() == NOW + 1


def test_no_move_is_lost_among_others(simulated):
    """Whoever moves it works on the time that the one before left."""
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: simulated.move(lambda now: now + 1), range(400)))
    assert sorted(told) == list(range(NOW + 1, NOW + 401))
    assert simulated.now() == NOW + 400


def test_a_step_that_fails_leaves_it_as_it_is_and_movable(simulated):
    def fail(_now: int) -> int:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - our own
        simulated.move(fail)
    assert simulated.now() == NOW
    assert simulated.move(lambda now: now + 1) == NOW + 1


def test_a_file_that_is_no_clock_is_refused_with_the_remedy(path):
    path.write_bytes(b"half")
    with pytest.raises(StorageError, match="is damaged: delete it"):
        SimulatedClock(path).open(NOW)


def test_a_directory_goes_by_its_simulated_clock_if_it_has_one(tmp_path):
    """Looking makes none."""
    directory = DataDirectory(tmp_path)
    assert isinstance(clock_of(directory), SystemClock)
    assert isinstance(clock_of(directory), SystemClock)
    SimulatedClock(directory.clock).open(NOW)
    assert clock_of(directory).now() == NOW
