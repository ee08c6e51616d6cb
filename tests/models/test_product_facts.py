"""How customers come back to products."""

from dataclasses import replace

import numpy as np

from active_customers.core.clock import DAY
from active_customers.models.product_facts import FACTS, product_facts


def habits(log):
    return product_facts(log)[:, [FACTS.index("comes_again"), FACTS.index("days_between")]]


def test_products_that_customers_come_back_to_stand_out(make_log):
    log = make_log([[0, 1], [0, 0], [2], [0, 2]], 4)
    log = replace(log, customers=np.array([5, 5, 6, 6], np.uint32), times=np.array([0, 0, 3, 3, 1, 4, 4]) * DAY)
    share, days = habits(log).T
    assert share[0] > share[1]
    assert share[2] > share[1]
    assert 0 < share[1] < share[3] + 1e-6  # never seen: the share of all
    np.testing.assert_allclose(np.expm1(days), [3, 0, 3, 0], rtol=1e-5)


def test_an_empty_history_has_no_habits(make_log):
    assert habits(make_log([], 3)).tolist() == [[0, 0]] * 3
