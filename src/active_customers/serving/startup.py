"""What a service says of itself until it is ready, and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0
"""Seconds after which it is said again what takes so long, at first and in the end."""


class Startup:
    """Logs what is being done, again and again while it takes long, and says once when the service answers.

    Parameters
    ----------
    say: takes the line for whoever waits for it.
    url: where the service answers.
    """

    def __init__(self, say: Callable[[str], None], url: str = "") -> None:
        self._say = say
        self.url = url
        self._started = time.monotonic()
        self._is_ready = threading.Event()
        self._doing = "starting"
        threading.Thread(target=self._remind, name="startup", daemon=True).start()

    def doing(self, what: str) -> None:
        """Log what is begun now."""
        self._doing = what
        _log.info("%s", what)

    def ready(self, about: str) -> None:
        """Say that the service answers, and with what."""
        self._is_ready.set()
        self._say(f"ready after {self._seconds():.1f} s: {about}, {self.url}")

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _remind(self) -> None:
        pause = _FIRST_PAUSE
        while not self._is_ready.wait(pause):
            _log.info("not ready after %.0f s: %s", self._seconds(), self._doing)
            pause = min(2 * pause, _LONGEST_PAUSE)
