"""Names of what models know of each product; kept apart, as serving needs these and no definition."""

PRODUCT_FACTS = ("acts", "trend", "newest_acts", "age", "idle", "exits", "comes_again", "days_between")
"""In the order of the columns that models map."""
