"""Simulated customers and a running service answer each other."""

from __future__ import annotations

import signal
import subprocess

import orjson
import pytest
from tests.e2e.conftest import COMMAND, ENVIRONMENT, command

SHOP = ("--customers", 400, "--products", 60, "--seed", 3)


def _closed_loop(*arguments: object):
    return command("simulate", "--closed-loop", *SHOP, *arguments)


def test_each_day_says_what_it_brought_and_how_old_the_models_were(tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: no-cheap-things, kind: exclude, filter: price < 10}]\n")
    before = ("--before", f"rules put {rules}")
    done = _closed_loop("--days", 2, "--warm-up", 7, "--json", "--set", "refresh_days=2", "--out", tmp_path, *before)
    assert done.returncode == 0, done.stderr
    report = orjson.loads(done.stdout)
    assert orjson.loads((tmp_path / "closed_loop.json").read_bytes()) == report
    assert [(day["day"], day["failures"]) for day in report["days"]] == [("2025-06-28", 0), ("2025-06-29", 0)]
    assert [day["refreshed"] for day in report["days"]] == [True, False]
    assert report["days"][0]["model_age_seconds"] < 86_400 < report["days"][1]["model_age_seconds"]
    for day in report["days"]:
        assert day["requests"] > day["answers"] > day["looked"] > day["clicks"] > 0
        assert 0 < day["regret"] < 1
    assert report["total"]["answers"] == sum(day["answers"] for day in report["days"])
    assert report["requests_per_minute"] > 0


def test_customers_meet_a_service_that_runs_and_is_fed_by_its_api(serve, data):
    data.mkdir(parents=True)
    (data / "config.yaml").write_text("server: {clock: simulated}\naccess: {admin_keys: [admin-key-0123456789]}\n")
    service = serve(data)
    where = ("--url", f"http://127.0.0.1:{service.port}", "--key", "admin-key-0123456789")
    done = _closed_loop("--days", 1, "--warm-up", 3, *where)
    assert done.returncode == 0, done.stderr
    head, day, total, *told = done.stdout.splitlines()
    assert head.split()[:4] == ["day", "customers", "requests", "CTR"]
    assert day.split()[0] == "2025-06-29"
    assert total.split()[-1] == "0"
    assert "a minute" in told[1]
    health = service.client().health()
    assert health["products"] == 60
    assert health["events"] > 1_000


def test_a_service_whose_clock_cannot_be_moved_is_not_met(service):
    done = _closed_loop("--days", 1, "--warm-up", 3, "--url", f"http://127.0.0.1:{service.port}")
    assert done.returncode == 2
    assert "this service goes by the machine's clock" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_that_fails_is_told_before_anything_is_imported(tmp_path):
    done = _closed_loop("--days", 1, "--warm-up", 3, "--before", f"rules put {tmp_path / 'none.yaml'}")
    assert done.returncode == 2
    assert "rules failed: active-customers: " in done.stderr


def test_a_strategy_that_the_service_does_not_know_is_refused_before_anything_is_imported(tmp_path):
    done = _closed_loop("--days", 1, "--warm-up", 3, "--strategies", "nonsense", "--data-dir", tmp_path / "data")
    assert done.returncode == 2
    assert "strategies: 'nonsense' is not valid: the service refuses it (400" in done.stderr


def test_a_run_that_is_ended_leaves_no_service_and_nothing_temporary(tmp_path):
    line = [*COMMAND, "simulate", "--closed-loop", *map(str, SHOP), "--days", "2", "--warm-up", "7"]
    environment = ENVIRONMENT | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert process.stdout.readline().split()[0] == "day"
    assert list(tmp_path.glob("active-customers-*/data/service.log"))
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_is_analysed_to_the_cent_that_the_simulated_shop_counted(tmp_path):
    experiments = tmp_path / "experiments.yaml"
    experiments.write_text(
        "strategies: [{name: popularity, sources: []}]\n"
        "experiments:\n"
        "  - name: worth-it\n"
        "    variants: {control: {weight: 50}, popular: {weight: 50, strategy: popularity}}\n"
    )
    knobs = [word for knob in ("cart_rate=0.1", "refresh_days=9", "refund_rate=0.3") for word in ("--set", knob)]
    before = ("--before", f"experiments put {experiments}")
    (tmp_path / "config.yaml").write_text("experiment_outcomes: {conversion_days: 2}\n")
    config = ("--config", tmp_path / "config.yaml")
    done = _closed_loop("--days", 5, "--warm-up", 5, "--json", *before, *config, *knobs)
    assert done.returncode == 0, done.stderr
    report = orjson.loads(done.stdout)
    judged = report["experiments"]["worth-it"]
    analysis, truth = judged["analysis"], judged["truth"]
    assert analysis["customers"] == {name: found["customers"] for name, found in truth.items()}
    assert not any(analysis["left_out"].values())
    for found in truth.values():
        assert found["analysed"] == pytest.approx(found["brought"], rel=1e-9)
        assert found["brought"] > 0
    assert judged["is_counted_alike"]
    gross = sum(found["revenue"] for found in report["groups"]["worth-it"].values())
    counted = sum(found["brought"] * found["customers"] for found in truth.values())
    assert gross / 2 < counted < gross  # refunds and late purchases are left out, and not what first visits brought
    assert truth["popular"]["sequential_interval_holds"]
