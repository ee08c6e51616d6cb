"""What the service counts about itself, for Prometheus. Names and meanings are in docs/monitoring.md."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LATENCY = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

REQUESTS = Counter("active_customers_requests", "Requests answered on the hot routes", ["route", "status"])
REQUEST_SECONDS = Histogram("active_customers_request_seconds", "Time to answer", ["route"], buckets=_LATENCY)
EVENTS = Counter("active_customers_events", "Events posted, by what became of them", ["status"])
DEGRADED = Counter("active_customers_degraded_answers", "Answers that fell back, by what was missing", ["reason"])
EXPOSURES = Counter(
    "active_customers_exposures",
    "Customers who were first answered by a variant of an experiment: noted in the log, or lost",
    ["status"],
)
COMMIT_EVENTS = Histogram(
    "active_customers_commit_events", "Events in one commit", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
)
COMMIT_SECONDS = Histogram("active_customers_commit_seconds", "Time of one durable commit", buckets=_LATENCY)
STREAMS = Gauge("active_customers_streams", "Live suggestions: streams that are open", multiprocess_mode="livesum")
STREAM_LISTS = Counter("active_customers_stream_lists", "Live suggestions: lists that were pushed")
STREAM_ENDS = Counter(
    "active_customers_stream_ends",
    "Live suggestions: streams that the service refused (all taken) or ended (slow, stopping)",
    ["reason"],
)
# Of several processes the largest value counts.
MODEL_AGE = Gauge(
    "active_customers_model_age_seconds",
    "Seconds since the model in force was trained; -1 without one",
    multiprocess_mode="livemax",
)
MODEL_INFO = Gauge(
    "active_customers_model_info", "1 for the model version in force", ["version"], multiprocess_mode="livemax"
)
REFRESHES = Counter("active_customers_refreshes", "Refreshes, by what became of them", ["outcome"])
REFRESH_QUALITY = Gauge(
    "active_customers_refresh_quality_ratio",
    "Quality of the models that the newest refresh made, as a share of those in force; NaN where it did not compare",
    multiprocess_mode="mostrecent",
)
FEATURE_SKEW = Gauge(
    "active_customers_feature_skew_ratio",
    "Share of sampled feature values that differ from their definition; NaN where the newest refresh compared none",
    multiprocess_mode="mostrecent",
)
LOG_POSITION = Gauge(
    "active_customers_log_position", "Position that the next event will get", multiprocess_mode="livemax"
)
ERASURES = Gauge(
    "active_customers_erasures",
    "Customers erased: done, or pending while the archive still holds rows of them",
    ["stage"],
    multiprocess_mode="livemax",
)
ROBOTS = Gauge(
    "active_customers_robots",
    "Customers who are taken for robots, by the rule that recognised them",
    ["rule"],
    multiprocess_mode="livemax",
)
STORE_BYTES = Gauge("active_customers_store_bytes", "Bytes in use in the store's file", multiprocess_mode="livemax")
UPDATE_FAILURES = Counter("active_customers_update_failures", "Periodic work that failed, to be tried again", ["work"])
CHECKPOINT_SECONDS = Histogram(
    "active_customers_checkpoint_seconds",
    "Time of one checkpoint of the live index",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
CHECKPOINT_TIME = Gauge(
    "active_customers_checkpoint_timestamp_seconds",
    "When the live index was last checkpointed, in seconds since 1970; 0 for not since the service started",
    multiprocess_mode="mostrecent",
)
# Every worker sees the same files: the newest look counts.
LIVE_POSITION = Gauge(
    "active_customers_live_index_position",
    "First log position that the live index has not read",
    multiprocess_mode="mostrecent",
)
LIVE_LAG = Gauge(
    "active_customers_live_index_lag",
    "Log positions that the live index has still to read",
    multiprocess_mode="mostrecent",
)
LIVE_SESSIONS = Gauge(
    "active_customers_live_index_sessions", "Sessions in the live index", multiprocess_mode="mostrecent"
)
LIVE_PRODUCTS = Gauge(
    "active_customers_live_index_products",
    "Products in a session of the live index",
    multiprocess_mode="mostrecent",
)
