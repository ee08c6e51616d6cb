"""From files to the first answer: import speed, training, start-up."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import write
from benchmarks.service import command, process

ROWS = 2_000_000
CUSTOMERS = 200_000
PRODUCTS = 20_000


def generated(path: Path) -> None:
    """Write a plain history of `ROWS` events in native columns."""
    rng = np.random.default_rng(1)
    kinds = np.array(["view", "view", "view", "view", "click", "cart_add", "purchase"])
    start = np.datetime64("2025-01-01T00:00:00", "us")
    times = start + np.sort(rng.integers(0, 30 * 86_400_000_000, ROWS)).astype("timedelta64[us]")
    table = pa.table(
        {
            "customer_id": rng.integers(1, CUSTOMERS, ROWS),
            "event_type": pa.array(kinds[rng.integers(0, len(kinds), ROWS)]).dictionary_encode(),
            "product_id": (PRODUCTS * rng.random(ROWS) ** 2).astype(np.int64),
            "timestamp": pa.array(times, pa.timestamp("us", tz="UTC")),
        }
    )
    pq.write_table(table, path)


def run(data: Path) -> None:
    """Measure and write `results/history.json`."""
    figures: dict[str, object] = {}
    with TemporaryDirectory() as folder:
        history = Path(folder) / "history.parquet"
        generated(history)
        started = time.perf_counter()
        command("import-events", str(history), "--data-dir", f"{folder}/data")
        seconds = time.perf_counter() - started
        figures["import_parquet"] = {
            "rows": ROWS,
            "seconds": round(seconds, 2),
            "rows_per_second": round(ROWS / seconds),
        }
        started = time.perf_counter()
        command("refresh", "--data-dir", f"{folder}/data")
        figures["refresh"] = {"rows": ROWS, "seconds": round(time.perf_counter() - started, 2)}
    transactions = data / "uci_online_retail" / "transactions.parquet"
    if transactions.exists():
        figures["uci_online_retail"] = _first_answer(transactions)
    write("history", f"python -m benchmarks --only history --data {data.name}", figures)


def _first_answer(transactions: Path) -> dict[str, float]:
    """Return the seconds of each step from the file to the first answer; start-up includes the interpreter's."""
    steps: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        for verb in ("import-products", "import-events", "refresh"):
            files = [] if verb == "refresh" else [str(transactions), "--preset", "uci-online-retail"]
            started = time.perf_counter()
            command(verb, *files, "--data-dir", folder)
            steps[verb] = round(time.perf_counter() - started, 2)
        started = time.perf_counter()
        with process("-m", "active_customers.cli", "serve", "--data-dir", folder, "--port", "0") as url:
            httpx.get(f"{url}/api/v1/recommendations", params={"customer_id": 17850}).raise_for_status()
            steps["serve_to_first_answer"] = round(time.perf_counter() - started, 2)
    return steps | {"together": round(sum(steps.values()), 2)}
