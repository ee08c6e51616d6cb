"""Which variant of an experiment the `recommendation_id` of an act names."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter

import duckdb
import pyarrow as pa

from active_customers.core.attribution import Attribution, TokenSigner
from active_customers.core.event import EventType
from active_customers.experiments.definition import Experiment

_TOKENS = """
SELECT DISTINCT token, CASE WHEN event_type <> $1 THEN product END AS product FROM acts
WHERE is_after AND token IS NOT NULL ORDER BY token
"""
_OF_OTHERS = """
SELECT count(*) FROM acts JOIN tokens USING (token)
WHERE is_after AND tokens.variant >= 0 AND tokens.variant <> acts.variant
"""
_SCHEMA = pa.schema(
    [pa.field("token", pa.string()), pa.field("variant", pa.int32()), pa.field("shown", pa.list_(pa.uint32()))]
)


def read_tokens(connection: duckdb.DuckDBPyConnection, experiment: Experiment, signer: TokenSigner) -> dict[str, int]:
    """Make the table `tokens`: of each the variant's place, -1 for none, and which of the products clicked it showed.

    Returns how many tokens were not ours, and how many acts name another variant than their customer's.
    """
    places = {variant.code: place for place, variant in enumerate(experiment.variants) if variant.code}
    columns: dict[str, list[object]] = {name: [] for name in _SCHEMA.names}
    n_forged = 0
    asked = connection.execute(_TOKENS, [int(EventType.IMPRESSION)]).fetchall()
    for token, rows in groupby(asked, itemgetter(0)):
        said = signer.verify(token)
        if said is None:
            n_forged += 1
            continue
        columns["token"].append(token)
        columns["variant"].append(_variant(said, places))
        columns["shown"].append([product for _, product in rows if product is not None and signer.shows(said, product)])
    connection.register("read", pa.table(columns, schema=_SCHEMA))
    connection.execute("CREATE TEMP TABLE tokens AS FROM read")  # a table of known size is joined in the right order
    [(n_others,)] = connection.execute(_OF_OTHERS).fetchall()
    return {"n_forged_tokens": n_forged, "n_of_other_variants": int(n_others)}


def _variant(said: Attribution, places: Mapping[int, int]) -> int:
    return next((places[code] for code in said.variants if code in places), -1)
