"""Looking at the service's clock, and moving it where it is simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from active_customers.core.clock import SECOND, Clock, format_time, parse_time
from active_customers.core.errors import InvalidValueError, UnmovableClockError
from active_customers.realtime.schemas import parsed_time
from active_customers.storage.base import EventLog
from active_customers.storage.simulated_clock import SimulatedClock

END = parse_time("2100-01-01T00:00:00Z")
"""A simulation ends here: what signs answers counts seconds in 32 bits."""

_EXAMPLE = {"type": "string", "format": "date-time", "examples": ["2025-01-01T12:00:00Z"]}


class ClockMove(BaseModel):
    """Where to move the clock: to a time, or on by some seconds."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    now: Annotated[int, BeforeValidator(parsed_time), WithJsonSchema(_EXAMPLE)] | None = None
    """The new time, RFC 3339 with a zone."""
    advance_seconds: Annotated[float, Field(gt=0, le=END / SECOND, allow_inf_nan=False, strict=True)] | None = None
    """How far to move it on."""

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.now is None) == (self.advance_seconds is None):
            raise PydanticCustomError("clock_move", "send either now or advance_seconds")
        return self

    def target(self, from_time: int) -> int:
        """Return the time that is meant when the clock stands at `from_time`."""
        return from_time + round((self.advance_seconds or 0) * SECOND) if self.now is None else self.now

    def refused(self, remedy: str) -> InvalidValueError:
        """Return the error about what was sent."""
        if self.now is None:
            return InvalidValueError("advance_seconds", self.advance_seconds, remedy)
        return InvalidValueError("now", format_time(self.now), remedy)


class ClockReport(BaseModel):
    """What the service's clock shows."""

    clock: Literal["system", "simulated"]
    now: str


@dataclass(frozen=True, slots=True)
class ClockControl:
    """Moves the clock forward; back only as long as nothing was stored, so that a simulation may begin in the past."""

    clock: Clock
    log: EventLog

    def report(self) -> ClockReport:
        """Return what the clock shows."""
        kind: Literal["system", "simulated"] = "simulated" if isinstance(self.clock, SimulatedClock) else "system"
        return ClockReport(clock=kind, now=format_time(self.clock.now()))

    def move(self, wanted: ClockMove) -> ClockReport:
        """Move the clock, for all processes of the service when this returns.

        Raises `InvalidValueError` for a time that is over or too far away, `UnmovableClockError` for the machine's.
        """
        if not isinstance(self.clock, SimulatedClock):
            raise UnmovableClockError(
                "this service goes by the machine's clock: start one with `serve --clock simulated`"
            )
        self.clock.move(lambda now: self._checked(wanted, now))
        return self.report()

    def _checked(self, wanted: ClockMove, now: int) -> int:
        target = wanted.target(now)
        if target < now and self.log.next_position() > 1:
            raise wanted.refused(
                f"it is {format_time(now)} here and events were stored, so time does not go back: name a later one"
            )
        if target >= END:
            raise wanted.refused(f"that is over the end of simulated time, {format_time(END)}: name an earlier one")
        return target
