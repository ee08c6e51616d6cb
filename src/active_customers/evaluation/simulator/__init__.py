"""A believable shop made by a generative model whose truth is known.

`simulate` writes a catalogue with pictures and a history of events; `Shop` is the same shop as an object that tells the
true chance of every click and answers, click by click, to whatever it is shown.
"""

from active_customers.evaluation.simulator.catalogue import Catalogue
from active_customers.evaluation.simulator.config import SimulatorConfig
from active_customers.evaluation.simulator.customers import Customers, customer_id
from active_customers.evaluation.simulator.naming import product_id
from active_customers.evaluation.simulator.needs import Intent
from active_customers.evaluation.simulator.report import SimulationReport
from active_customers.evaluation.simulator.shop import Shop
from active_customers.evaluation.simulator.simulation import simulate
from active_customers.evaluation.simulator.truth import Truth

__all__ = [
    "Catalogue",
    "Customers",
    "Intent",
    "Shop",
    "SimulationReport",
    "SimulatorConfig",
    "Truth",
    "customer_id",
    "product_id",
    "simulate",
]
