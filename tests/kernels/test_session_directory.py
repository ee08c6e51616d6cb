"""The writer's directory of sessions against an ordered dictionary."""

from hypothesis import given
from hypothesis import strategies as st

from active_customers.kernels.session_directory import (
    by_age,
    empty_directory,
    find,
    has_free_slot,
    release,
    take,
    touch,
)

N_SLOTS = 6


@given(st.lists(st.tuples(st.sampled_from("atr"), st.integers(1, 12).map(lambda i: i * 2**58))))
def test_sessions_are_found_and_kept_in_the_order_of_their_last_acts(steps):
    directory, twin = empty_directory(N_SLOTS), {}
    for action, session in steps:
        if session not in twin:
            if action != "r" and has_free_slot(directory, N_SLOTS):
                twin[session] = take(directory, session)
        elif action == "r":
            release(directory, twin.pop(session))
        else:
            touch(directory, twin[session])
            twin[session] = twin.pop(session)
        assert by_age(directory).tolist() == list(twin.values())
        assert all(find(directory, number) == slot for number, slot in twin.items())
        assert find(directory, 1) == -1
        assert len(set(twin.values())) == len(twin)
        assert has_free_slot(directory, N_SLOTS) == (len(twin) < N_SLOTS)


def test_slots_are_given_from_the_first_on_while_none_came_back():
    directory = empty_directory(N_SLOTS)
    assert [take(directory, session) for session in (5, 3, 9)] == [0, 1, 2]
    assert not has_free_slot(directory, 3)
    release(directory, 1)
    assert has_free_slot(directory, 3)
    assert take(directory, 11) == 1
