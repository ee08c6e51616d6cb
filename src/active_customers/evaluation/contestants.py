"""Everything that can be measured, by name: the project's models and the published ones it is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from active_customers.evaluation.baselines import (
    SequentialRules,
    SequentialRulesConfig,
    Stan,
    StanConfig,
    VSKnn,
    VSKnnConfig,
    Vstan,
    VstanConfig,
)
from active_customers.evaluation.buy_again import BuyAgain, BuyAgainConfig, GPTopFreqConfig, PTopFreqConfig
from active_customers.models.registry import EVALUATED, Entry

CONTESTANTS: Mapping[str, Entry] = MappingProxyType(
    {
        **EVALUATED,
        "sequential_rules": Entry(SequentialRules, SequentialRules.from_arrays, SequentialRulesConfig),
        "vsknn": Entry(VSKnn, VSKnn.from_arrays, VSKnnConfig),
        "stan": Entry(Stan, Stan.from_arrays, StanConfig),
        "vstan": Entry(Vstan, Vstan.from_arrays, VstanConfig),
        "p_top_freq": Entry(BuyAgain, BuyAgain.from_arrays, PTopFreqConfig),
        "gp_top_freq": Entry(BuyAgain, BuyAgain.from_arrays, GPTopFreqConfig),
        "buy_again": Entry(BuyAgain, BuyAgain.from_arrays, BuyAgainConfig),
    }
)

LINES: Mapping[str, str] = MappingProxyType(
    {
        "popularity": "what many customers act on lately",
        "item_knn": "what stands together with the session's products (Linden et al. 2003)",
        "session_knn": "what similar sessions went on to",
        "linear": "ridge regressions between products, walked over (after SLIST and S-Walk, Choi et al. 2021, 2022)",
        "factorization": "products as vectors, the session as their decayed sum (after CORE, Hou et al. 2022)",
        "content": "what the catalogue describes alike, acted on or not; needs --products",
        "hybrid": "all of these, ranked by gradient-boosted trees; what the service answers with",
        "sequential_rules": "baseline: what came after the newest product (SR, Ludewig et al. 2021)",
        "vsknn": "baseline: VS-kNN (Ludewig and Jannach 2018)",
        "stan": "baseline: STAN (Garg et al. 2019)",
        "vstan": "baseline: VSTAN (Ludewig et al. 2021)",
        "p_top_freq": "baseline: what the question shows most often (P-TopFreq)",
        "gp_top_freq": "baseline: the same, then what most sessions hold (GP-TopFreq, Li et al. 2023)",
        "buy_again": "baseline: the same, older acts counting less",
    }
)
"""What each proposes, in a line."""
