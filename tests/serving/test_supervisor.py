"""The supervisor's restarts: each part's alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

LOOPS = 3
"""Within which the steady part has lived for longer than the pause."""


def test_a_part_that_keeps_ending_does_not_hold_up_the_restart_of_another(tmp_path):
    """The other is back while the first one still pauses."""
    told = tmp_path / "log"

    def places(pattern):
        return list(re.finditer(pattern, told.read_text()))

    with told.open("w") as log, subprocess.Popen([sys.executable, "-m", "tests.serving.supervised"], stderr=log) as run:
        try:
            while len(places("looper ended")) < LOOPS:
                time.sleep(0.02)
            os.kill(int(places(r"steady is process (\d+)")[0][1]), signal.SIGKILL)
            while len(places("steady is process")) < 2 or len(places("looper is process")) <= LOOPS:
                time.sleep(0.02)
        finally:
            run.terminate()
    assert run.returncode == 0
    assert places("steady is process")[1].start() < places("looper is process")[LOOPS].start()
