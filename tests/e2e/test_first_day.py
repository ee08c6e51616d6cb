"""A shop imports its catalogue, starts, and shows on each page what is like it, before anybody has acted."""

from __future__ import annotations

import time

import orjson
from tests.e2e.conftest import command

SOON = {"ACTIVE_CUSTOMERS_REFRESH__EVERY_MINUTES": "0.05"}


def browse(client, product):
    return client.send("GET", f"/api/v1/recommendations?customer_id=new&context=browse&product_id={product}&n=2")[1]


def test_a_catalogue_that_is_imported_beside_the_service_is_answered_from_soon(serve, data, tmp_path):
    service = serve(data, **SOON)
    client = service.client()
    assert browse(client, "oak-0")["recommendations"] == []
    rows = [
        {"product_id": f"{wood}-{i}", "name": f"{wood} {kind}", "category": f"House > {kind}s"}
        for wood, kind in (("oak", "board"), ("steel", "lamp"))
        for i in range(3)
    ]
    file = tmp_path / "products.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    assert command("import-products", file, "--data-dir", data).returncode == 0
    while client.health()["model_version"] == "none":
        time.sleep(0.05)
    for wood in ("oak", "steel"):
        answer = browse(client, f"{wood}-0")
        assert {row["product_id"] for row in answer["recommendations"]} == {f"{wood}-1", f"{wood}-2"}
        assert all(row["reason"].startswith(f"Similar to {wood}") for row in answer["recommendations"])
        assert answer["metadata"]["degraded"] == []
    status, ready = client.send("GET", "/api/v1/readiness")
    assert status == 200
    assert [source["source"] for source in ready["sources"] if source["active"]] == ["catalog", "similar"]
    listed = command("readiness", "--data-dir", data)  # beside the running service
    assert listed.returncode == 0
    assert "6 products, 0 customers, 0 events" in listed.stdout
