"""What became of each product in recommendations: how often it was looked at, clicked, and truly to be clicked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import format_time
from active_customers.core.identifiers import json_id
from active_customers.evaluation.closed_loop.day import Seen
from active_customers.evaluation.simulator import Shop, product_id

Integers = NDArray[np.int64]


class ProductCounts:
    """Counts for each product, by its row in the catalogue."""

    def __init__(self, shop: Shop) -> None:
        self._released = shop.catalogue.released
        self._impressions = np.zeros(len(shop.catalogue), np.int64)
        self._clicks = np.zeros(len(shop.catalogue), np.int64)
        self._expected = np.zeros(len(shop.catalogue))

    def add(self, pages: Integers, seen: Seen) -> None:
        """Count what was seen of pages (int64[s, n], -1: none)."""
        rows, places = np.nonzero(np.arange(pages.shape[1]) < seen.read[:, None])
        np.add.at(self._impressions, pages[rows, places], 1)
        np.add.at(self._expected, pages[rows, places], seen.click[rows, places])
        clicked = np.flatnonzero(seen.place >= 0)
        np.add.at(self._clicks, pages[clicked, seen.place[clicked]], 1)

    def figures(self) -> list[dict[str, Any]]:
        """Return what was counted for each product that was looked at.

        `true_rate` is the mean of the true chances of a click over its impressions: what a perfect estimate of its
        click-through would come to.
        """
        return [
            {
                "product_id": json_id(product_id(i)),
                "released": format_time(int(self._released[i])),
                "impressions": int(self._impressions[i]),
                "clicks": int(self._clicks[i]),
                "true_rate": round(float(self._expected[i] / self._impressions[i]), 5),
            }
            for i in np.flatnonzero(self._impressions).tolist()
        ]
