"""Simulated customers who meet a running service: they see what it recommends, click by the truth, buy, come back."""

from active_customers.evaluation.closed_loop.config import LoopConfig
from active_customers.evaluation.closed_loop.loop import ClosedLoop
from active_customers.evaluation.closed_loop.place import Place, own_service
from active_customers.evaluation.closed_loop.report import DayFigures, GroupFigures, LoopReport

__all__ = ["ClosedLoop", "DayFigures", "GroupFigures", "LoopConfig", "LoopReport", "Place", "own_service"]
