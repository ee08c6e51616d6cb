"""What a service says until it is ready, and then."""

from __future__ import annotations

import logging
import re

from active_customers.serving import startup
from active_customers.serving.startup import Startup


def test_what_is_done_is_logged_and_that_it_is_ready_is_said_with_time_and_address(caplog):
    said = []
    starting = Startup(said.append)
    with caplog.at_level(logging.INFO):
        starting.doing("opening shop")
    starting.url = "http://127.0.0.1:8000"
    starting.ready("3 products, no model yet")
    assert caplog.messages == ["opening shop"]
    assert re.fullmatch(r"ready after \d+\.\d s: 3 products, no model yet, http://127\.0\.0\.1:8000", said[0])


def test_what_takes_long_is_said_again_until_it_is_ready(caplog, monkeypatch):
    monkeypatch.setattr(startup, "_FIRST_PAUSE", 0.01)
    with caplog.at_level(logging.INFO):
        starting = Startup(lambda _line: None)
        starting.doing("opening shop")
        while len(caplog.messages) < 3:  # the time limit of the test ends a vain wait
            pass
    starting.ready("")
    assert re.fullmatch(r"not ready after \d+ s: opening shop", caplog.messages[2])
