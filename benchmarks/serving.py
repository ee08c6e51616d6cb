"""Throughput of GET, POST and the 80/20 mix, beside a static reply of the same size in the same run."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np

from benchmarks.machine import write
from benchmarks.service import KEY, command, process, wrk

CUSTOMERS = 10_000
EVENTS_EACH = 4


def prepare(data: Path, folder: str) -> None:
    """Import a history and train on it: the RetailRocket slice, or a simulated shop where there is none."""
    history = data / "retailrocket_slice" / "events.parquet"
    if history.exists():
        command("import-events", str(history), "--preset", "retailrocket", "--data-dir", folder)
    else:
        shop = f"{folder}/shop"
        command("simulate", "--customers", "5000", "--products", "10000", "--out", shop)
        command("import-products", f"{shop}/products.jsonl", "--data-dir", folder)
        command("import-events", f"{shop}/events.parquet", "--data-dir", folder)
    command("refresh", "--data-dir", folder)


def give_sessions(url: str) -> int:
    """Post a session for each customer over products that the shop recommends; return the size of an answer."""
    with httpx.Client(base_url=url, headers={"X-API-Key": KEY}, timeout=60) as client:
        popular = client.get("/api/v1/recommendations", params={"customer_id": "x", "n": 100}).json()
        products = [entry["product_id"] for entry in popular["recommendations"]]
        rng = np.random.default_rng(1)
        for _ in range(3):  # spread out from the popular products to what is near them
            near = client.get(
                "/api/v1/recommendations",
                params={
                    "customer_id": "y",
                    "context": "browse",
                    "product_id": rng.choice(products, 20).tolist(),
                    "n": 100,
                },
            ).json()
            products = list({*products, *(entry["product_id"] for entry in near["recommendations"])})
        for first in range(0, CUSTOMERS, 250):
            events = [
                {"customer_id": f"c{customer}", "event_type": "view", "product_id": int(product)}
                for customer in range(first, first + 250)
                for product in rng.choice(products, EVENTS_EACH)
            ]
            client.post("/api/v1/events", json={"events": events}).raise_for_status()
        answer = client.get("/api/v1/recommendations", params={"customer_id": "c1", "context": "home", "n": 10})
        return len(answer.content)


def run(data: Path, seconds: int = 6, rounds: int = 3) -> None:
    """Measure and write `results/serving.json`."""
    figures: dict[str, list[dict[str, object]]] = {name: [] for name in ("static", "get", "post", "mix")}
    environment = os.environ | {"ACTIVE_CUSTOMERS_ACCESS__SERVER_KEYS": KEY}
    with TemporaryDirectory() as folder:
        prepare(data, folder)
        serve = ("-m", "active_customers.cli", "serve", "--data-dir", folder, "--port", "0")
        with process(*serve, environment=environment) as url:
            size = give_sessions(url)
            with process("-m", "benchmarks.static_reply", str(size)) as floor:
                for _ in range(rounds):
                    for name, target in (("static", floor), ("get", url), ("post", url), ("mix", url)):
                        script = "get.lua" if name == "static" else f"{name}.lua"
                        figures[name].append(asdict(wrk(target, script, seconds)))
    rates = {name: [float(str(load["requests_per_second"])) for load in loads] for name, loads in figures.items()}
    ratio = [get / static for get, static in zip(rates["get"], rates["static"], strict=True)]
    summary: dict[str, object] = {
        **{f"{name}_per_second_median": round(float(np.median(values))) for name, values in rates.items()},
        "get_to_static_ratio": [round(value, 3) for value in ratio],
        "answer_bytes": size,
        "workers": 1,
        "runs": figures,
    }
    write("serving", f"python -m benchmarks --only serving --data {data.name}", summary)
