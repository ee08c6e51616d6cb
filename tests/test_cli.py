"""The commands, in this process: what they print, where they write, how they fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import orjson
import pytest
import yaml
from tests.conftest import lightgbm_or_skip

from active_customers import __version__
from active_customers.cli import main
from active_customers.config.settings import default_yaml
from active_customers.core.clock import parse_time
from active_customers.models.artifacts import ArtifactStore
from active_customers.storage.archive import Archive
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.simulated_clock import SimulatedClock


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path):
    """Run in an empty folder, with nothing set from outside."""
    for name in [name for name in os.environ if name.startswith("ACTIVE_CUSTOMERS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command; returns (exit code, output, errors)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["active-customers", *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "events.jsonl"
    rows = [
        {
            "customer_id": f"c{i}",
            "event_type": "view",
            "product_id": f"p{j}",
            "timestamp": f"2025-01-{1 + i:02d}T12:00:0{j}Z",
        }
        for i in range(9)
        for j in range(3)
    ]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows) + b"{}\n")
    return path


def test_the_version_is_printed(command):
    assert command("--version") == (0, f"{__version__}\n", "")


def test_every_command_is_named_and_explained(command):
    code, out, _ = command("--help")
    assert code == 0
    imports, learning = ("import-events", "import-products"), ("refresh", "models", "simulate", "evaluate")
    for name in ("serve", *imports, *learning, "config", "demo"):
        assert name in out
    assert "compile" not in out


def test_the_defaults_are_a_settings_file(command):
    assert command("config", "--defaults") == (0, default_yaml().rstrip() + "\n", "")


def test_settings_are_printed_with_where_they_came_from_and_without_keys(command, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "config.yaml"
    file.write_text("refresh: {keep_versions: 9}\naccess: {server_keys: [srv-0123456789abcdef]}\n")
    monkeypatch.setenv("ACTIVE_CUSTOMERS_SERVER__PORT", "81")
    code, out, _ = command("config", "--data-dir", "data")
    assert code == 0
    found = dict(line.split("  # ") for line in out.splitlines())
    found = {setting.strip(): origin for setting, origin in found.items()}
    assert found["refresh.keep_versions: 9"] == "data/config.yaml"
    assert found["server.port: 81"] == "environment ACTIVE_CUSTOMERS_SERVER__PORT"
    assert found["access.server_keys: (1 keys)"] == "data/config.yaml"
    assert found["server.host: 127.0.0.1"] == "default"


def test_a_named_file_is_read_instead_of_the_directorys_own(command, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "config.yaml").write_text("refresh: {keep_versions: 9}")
    (tmp_path / "other.yaml").write_text("server: {port: 82}")
    _, out, _ = command("config", "--config", "other.yaml")
    assert "server.port: 82 " in out
    assert "refresh.keep_versions: 5 " in out


@pytest.mark.parametrize(
    ("text", "said"),
    [("server: {prot: 1}", "server.prot"), ("server: {port: x}", "server.port"), ("[", "cannot be read as YAML")],
)
def test_a_wrong_settings_file_ends_every_command_with_one_line(command, tmp_path, text, said):
    (tmp_path / "c.yaml").write_text(text)
    for name in ("config", "refresh"):
        code, out, err = command(name, "--config", "c.yaml")
        assert (code, out) == (2, "")
        assert said in err
        assert "c.yaml" in err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--host", "192.0.2.1"), "only loopback is simulated, not 192.0.2.1: bind to 127.0.0.1"),
        (("--clock", "sundial"), "server.clock: 'sundial' is not valid"),
    ],
)
def test_a_simulated_service_is_reached_from_this_machine_only(command, tmp_path, flags, said):
    """Keys or not: who moves the time of a shop must not be elsewhere. Nothing is made."""
    (tmp_path / "c.yaml").write_text("server: {clock: simulated}\naccess: {admin_keys: [adm-0123456789abcdef]}\n")
    code, out, err = command("serve", "--config", "c.yaml", "--data-dir", "d", *flags)
    assert (code, out) == (2, "")
    assert said in err
    assert not (tmp_path / "d").exists()


def test_a_dry_run_goes_by_the_time_of_a_simulated_directory(command, history):
    """Events of 2025 are in the future there; the directory says what time it has when it is written to."""
    directory = DataDirectory(Path("d"))
    directory.prepare()
    SimulatedClock(directory.clock).open(parse_time("2024-06-01T12:00:00Z"))
    _, out, _ = command("import-events", history, "--data-dir", "d", "--dry-run")
    assert "28 rejected" in out
    _, out, err = command("import-events", history, "--data-dir", "d")
    assert "28 rejected" in out
    assert err.startswith("d was simulated: it is 2024-06-01T12:00:00Z there\n")


def test_events_are_imported_once_and_trained_on(command, history):
    code, out, _ = command("import-events", history, "--data-dir", "d")
    assert code == 0
    assert "27" in out
    code, out, _ = command("refresh", "--data-dir", "d")
    assert code == 0
    assert ": 27 acts in 9 sessions of 9 customers on 3 products" in out
    code, _, _ = command("import-events", history, "--data-dir", "d")
    assert code == 0
    directory = DataDirectory(history.parent / "d")
    assert len(Archive(directory.archive).columns(["position"])["position"]) == 27
    assert ArtifactStore(directory.models).current() is not None


def test_a_dry_run_changes_nothing(command, history, tmp_path):
    before = sorted(tmp_path.iterdir())
    code, out, _ = command("import-events", history, "--dry-run", "--data-dir", "d")
    assert code == 0
    assert "27" in out
    assert sorted(tmp_path.iterdir()) == before


def test_products_are_imported(command, tmp_path):
    (tmp_path / "products.jsonl").write_text('{"product_id":1,"name":"Pan"}\n{"product_id":2,"name":"Pot"}\n')
    code, out, err = command("import-products", "products.jsonl", "--data-dir", "d")
    assert (code, err) == (0, "")
    assert "2" in out


def test_a_full_feed_of_products_makes_the_others_unavailable(command, tmp_path):
    (tmp_path / "both.jsonl").write_text('{"product_id":1,"name":"Pan","price":2}\n{"product_id":2,"name":"Pot"}\n')
    (tmp_path / "one.jsonl").write_text('{"product_id":1,"stock":0}\n')
    command("import-products", "both.jsonl", "--data-dir", "d")
    code, out, err = command("import-products", "one.jsonl", "--full", "--merge", "--data-dir", "d")
    assert (code, err) == (0, "")
    assert "1 others are unavailable now" in out
    store = EmbeddedStore(tmp_path / "d" / "store").open()
    found = [(product.name, product.price, product.told_availability) for _, product in store.catalog.products()]
    store.close()
    assert found == [("Pan", 2.0, "out_of_stock"), ("Pot", None, "out_of_stock")]


def test_a_full_feed_can_be_tried_out_and_one_that_lacks_most_is_refused(command, tmp_path):
    rows = [f'{{"product_id":{i},"name":"Pan"}}\n' for i in range(4)]
    (tmp_path / "all.jsonl").write_text("".join(rows))
    (tmp_path / "most.jsonl").write_text("".join(rows[:3]))
    (tmp_path / "one.jsonl").write_text(rows[0])
    code, out, err = command("import-products", "all.jsonl", "--full", "--dry-run", "--data-dir", "d")
    assert (code, err) == (0, "")
    command("import-products", "all.jsonl", "--data-dir", "d")
    code, out, err = command("import-products", "most.jsonl", "--full", "--dry-run", "--data-dir", "d")
    assert (code, err) == (0, "")
    assert "1 others would become unavailable" in out
    code, out, err = command("import-products", "one.jsonl", "--full", "--data-dir", "d")
    assert (code, out) == (2, "")
    assert "3 of 4 products are not in it" in err
    code, out, err = command("import-products", "one.jsonl", "--full", "--force", "--data-dir", "d")
    assert (code, err) == (0, "")
    assert "3 others are unavailable now" in out


def test_what_is_ready_is_printed(command, tmp_path):
    names = enumerate(("Oak board", "Oak table", "Lamp"))
    (tmp_path / "three.jsonl").write_text("".join(f'{{"product_id":{i},"name":"{name}"}}\n' for i, name in names))
    command("import-products", "three.jsonl", "--data-dir", "d")
    code, out, err = command("readiness", "--data-dir", "d")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "3 products, 0 customers, 0 events; no model yet"
    assert "  active   catalog" in out
    command("refresh", "--data-dir", "d")
    code, out, _ = command("readiness", "--json", "--data-dir", "d")
    assert code == 0
    sources = {source["source"]: source for source in orjson.loads(out)["sources"]}
    assert sources["similar"] | {"line": ""} == {
        "source": "similar",
        "active": True,
        "have": 2,
        "needs": 1,
        "unit": "described product that is like another (category, brand, words of the name, price)",
        "line": "",
    }


def test_a_feed_that_has_not_changed_is_imported_again_with_other_flags(command, tmp_path):
    """A full one after one that was not makes unavailable what it lacks."""

    class Feed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["If-None-Match"] == '"1"'
            self.send_response(304 if known else 200)
            self.send_header("ETag", '"1"')
            self.end_headers()
            if not known:
                self.wfile.write(b'{"product_id":1}')

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    (tmp_path / "two.jsonl").write_text('{"product_id":1}\n{"product_id":2}\n')
    command("import-products", "two.jsonl", "--data-dir", "d")
    with ThreadingHTTPServer(("127.0.0.1", 0), Feed) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        arguments = ("import-products", f"http://127.0.0.1:{server.server_port}/feed.jsonl", "--data-dir", "d")
        first, again, full = (command(*arguments, *flags)[1] for flags in ((), (), ("--full",)))
        server.shutdown()
    assert "1 products" in first
    assert "have not changed" in again
    assert "1 others are unavailable now" in full


BAD_ROWS = '{"product_id":1}\n{"product_id":2,"price":-1}\n{"product_id":3,"price":"x"}\n'


def test_an_import_that_rejects_too_much_fails_with_a_code_of_its_own(command, tmp_path):
    (tmp_path / "p.jsonl").write_text(BAD_ROWS)
    code, out, err = command("import-products", "p.jsonl", "--data-dir", "d")
    assert (code, "imported 1 of 3 rows" in out) == (3, True)
    assert err.startswith("active-customers: 2 of 3 rows were rejected (66 %), over 10 %")
    code, _, err = command("import-products", "p.jsonl", "--max-rejected", "0.7", "--data-dir", "d")
    assert (code, err) == (0, "")
    code, _, _ = command("import-events", "p.jsonl", "--max-rejected", "7", "--data-dir", "d")
    assert code == 2


def test_a_feed_that_rejects_too_much_is_fetched_again(command, tmp_path):
    class Feed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(304 if self.headers["If-None-Match"] else 200)
            self.send_header("ETag", '"1"')
            self.end_headers()
            if not self.headers["If-None-Match"]:
                self.wfile.write(BAD_ROWS.encode())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Feed) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        arguments = ("import-products", f"http://127.0.0.1:{server.server_port}/feed.jsonl", "--data-dir", "d")
        codes = [command(*arguments)[0] for _ in range(2)]
        server.shutdown()
    assert codes == [3, 3]


def test_an_address_that_gives_nothing_is_said(command):
    code, _, err = command("import-products", "http://127.0.0.1:9/feed.xml", "--data-dir", "d")
    assert code == 2
    assert "it cannot be fetched" in err


def test_without_events_there_is_nothing_to_train_on_and_it_is_said(command):
    code, out, err = command("refresh", "--data-dir", "d")
    assert (code, out) == (2, "")
    assert err.startswith("active-customers: there are no events on products yet")
    assert err.count("\n") == 1


def test_a_file_that_is_not_there_is_said(command):
    code, _, err = command("import-events", "nowhere.jsonl", "--data-dir", "d")
    assert code == 2
    assert "nowhere.jsonl" in err
    assert "Traceback" not in err


def test_a_simulated_shop_can_be_imported_trained_and_evaluated(command):
    arguments = ["--customers", 60, "--products", 40, "--days", 4, "--end", "2025-02-01T00:00:00Z"]
    code, out, _ = command("simulate", "--out", "shop", *arguments)
    assert code == 0
    assert "customers on 40 products" in out
    for line in (
        ["import-products", "shop/products.jsonl", "--data-dir", "d"],
        ["import-events", "shop/events.parquet", "--data-dir", "d"],
        ["refresh", "--data-dir", "d"],
    ):
        assert command(*line)[0] == 0
    models = ["--model", "popularity", "--model", "session_knn"]
    code, out, _ = command("evaluate", "--train", "shop/events.parquet", "--test", "shop/events.parquet", *models)
    assert code == 0
    assert "session_knn: HR@20" in out
    assert "session_knn - popularity: MRR@20" in out
    assert "test part asked 1 time\n" in out
    assert set(orjson.loads(Path("report.json").read_bytes())["models"]) == {"popularity", "session_knn"}


@pytest.fixture
def twice_published(command, history) -> list[str]:
    """A data directory `d` with two versions, the second in force."""
    command("import-events", history, "--data-dir", "d")
    for _ in range(2):
        assert command("refresh", "--data-dir", "d")[0] == 0
    return ArtifactStore(DataDirectory(Path("d")).models).versions()


def test_a_refresh_says_what_the_gate_came_to(command, history):
    command("import-events", history, "--data-dir", "d")
    _, out, _ = command("refresh", "--data-dir", "d")
    assert out.splitlines()[1] == "gate: not compared: nothing was published before"
    _, out, _ = command("refresh", "--data-dir", "d")
    assert out.splitlines()[1] == "gate: not compared: 0 questions in 0 new sessions, 200 needed"


def test_the_published_versions_are_listed(command, twice_published):
    code, out, _ = command("models", "list", "--data-dir", "d")
    assert code == 0
    titles, first, second = out.splitlines()
    assert titles.split() == ["version", "created", "acts", "products", "gate", "in", "force"]
    assert (first.split()[0], first.split()[2:]) == (twice_published[0], ["27", "3", "not_compared"])
    assert second.split()[2:] == ["27", "3", "not_compared", "yes"]


def test_a_damaged_version_is_listed_as_such(command, twice_published):
    (Path("d") / "models" / twice_published[0] / "manifest.json").write_text("{")
    _, out, _ = command("models", "list", "--data-dir", "d")
    assert out.splitlines()[1].split() == [twice_published[0], "damaged"]
    code, out, err = command("models", "rollback", "--data-dir", "d")
    assert (code, out) == (2, "")
    assert "manifest.json does not match its hash" in err


def test_after_going_back_an_uncompared_refresh_is_refused_unless_forced(command, twice_published):
    first, second = twice_published
    assert command("models", "rollback", "--data-dir", "d") == (0, f"{first} is in force (before: {second})\n", "")
    code, out, err = command("refresh", "--data-dir", "d")
    assert (code, out) == (1, "")
    assert f"{first} stays in force: {first} was rolled back to" in err
    assert err.endswith("refresh --force\n")
    code, out, _ = command("refresh", "--data-dir", "d", "--force")
    assert code == 0
    assert out.startswith("published ")


def test_going_back_to_nowhere_is_said(command, twice_published):
    for name, said in (("v1", "published are"), (None, "there is no version before")):
        command("models", "rollback", twice_published[0], "--data-dir", "d")
        code, out, err = command("models", "rollback", *([name] if name else []), "--data-dir", "d")
        assert (code, out) == (2, "")
        assert said in err


def test_without_versions_there_is_nothing_to_list(command):
    code, out, err = command("models", "list", "--data-dir", "d")
    assert (code, out) == (2, "")
    assert err == "active-customers: nothing was published yet: run refresh\n"


@pytest.fixture
def carts(tmp_path):
    """Eight days of sessions of two views and a cart, then a purchase in every other one, and what was held out.

    Each customer's first view of each product is a file of its own: nothing comes twice in it.
    """
    rows = [
        {
            "customer_id": f"c{i % 6}",
            "session_id": f"s{i}",
            "event_type": kind,
            "product_id": f"p{product}",
            "timestamp": f"2025-01-{1 + i // 5:02d}T{10 + i % 5}:00:0{place}Z",
            "order_id": f"o{i}",
        }
        for i in range(40)
        for place, (kind, product) in enumerate(
            [("view", i % 4), ("view", i % 4 + 1), ("cart_add", i % 4 + 1), ("purchase", i % 4 + 1)][: 3 + i % 2]
        )
    ]
    (tmp_path / "carts.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    views = [row for row in rows if row["event_type"] == "view"]
    first = {(row["customer_id"], row["product_id"]): row for row in reversed(views)}.values()
    (tmp_path / "views.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in first))
    (tmp_path / "held.csv").write_text("user_id,item_id\n" + "".join(f"c{i},p{4 - i % 2}\n" for i in range(6)))
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--events", "carts.jsonl", "--protocol", "rolling", "--targets", "cart_add", "--folds", "2"], "recall@20"),
        (["--events", "carts.jsonl", "--protocol", "rolling", "--horizon-days", "1.5", "--folds", "1"], "MRR@20"),
        (["--events", "carts.jsonl", "--protocol", "next-basket", "--horizon-days", "3"], "precision@20"),
        (["--train", "carts.jsonl", "--heldout", "held.csv"], "recall@20"),
        (["--train", "carts.jsonl", "--test", "carts.jsonl", "--protocol", "rest-of-session"], "MAP@20"),
        (["--train", "carts.jsonl", "--test", "carts.jsonl", "--repeats", "drop"], "NDCG@20"),
        (["--train", "views.jsonl", "--protocol", "leave-one-out", "--loose"], "NDCG@20"),
    ],
)
def test_every_protocol_reports_its_figures_on_a_page_and_as_json(command, carts, flags, said):
    models = ["--model", "popularity", "--model", "buy_again", "--against", "buy_again"]
    code, out, err = command("evaluate", *flags, "--preset", "native", *models, "--html", "report.html")
    assert (code, re.sub(r"evaluate: .*", "", err).strip()) == (0, "")  # a slow machine shows progress
    assert said in out
    assert "popularity - buy_again" in out
    report = orjson.loads((carts / "report.json").read_bytes())
    assert report["data"]["looks"] == 1
    assert f"{report['models']['buy_again']['hr']:.4f}" in (carts / "report.html").read_text()


def test_a_replay_is_told_in_two_tables_of_which_the_second_learned(command, carts):
    lightgbm_or_skip()
    arguments = ["--events", "carts.jsonl", "--preset", "native", "--protocol", "rolling", "--folds", "1", "--live"]
    code, out, _ = command("evaluate", *arguments, "--html", "report.html")
    assert code == 0
    static, live = out.split("live: ")
    assert static.startswith("static: ")
    assert "served: HR@20" in static
    assert "served: HR@20" in live
    assert "served, live - served: MRR@20" in live
    assert set(orjson.loads((carts / "report.json").read_bytes())["live"]["models"]) == {"served"}
    assert "<h1>Live</h1>" in (carts / "report.html").read_text()


def test_looks_at_one_file_are_counted_in_the_data_directory(command, carts):
    arguments = ["--train", "carts.jsonl", "--test", "carts.jsonl", "--preset", "native", "--model", "popularity"]
    for protocol in ("next-item", "rest-of-session"):
        _, out, _ = command("evaluate", *arguments, "--protocol", protocol, "--data-dir", "d")
    assert "test part asked 2 times" in out
    lines = [orjson.loads(line) for line in (carts / "d" / "evaluations.jsonl").read_bytes().splitlines()]
    assert [line["protocol"] for line in lines] == ["next-item", "rest-of-session"]
    assert lines[0]["settings"] == {"k": 20, "parameters": {}, "repeats": "keep"}


def test_a_look_tells_all_that_differs_from_the_defaults_whoever_set_it(command, carts):
    (carts / "c.yaml").write_text("models: {hybrid: {linear: {dropout: 0.4}}, popularity: {half_life_days: 3}}\n")
    arguments = ["--train", "carts.jsonl", "--test", "carts.jsonl", "--preset", "native", "--data-dir", "d"]
    models = ["--model", "linear", "--model", "vstan", "--set", "linear.damping=0.3", "--set", "vstan.nearest=1500"]
    code, _, err = command("evaluate", *arguments, *models, "--config", "c.yaml")
    assert code == 0, err
    line = orjson.loads((carts / "d" / "evaluations.jsonl").read_bytes())
    assert line["settings"]["parameters"] == {"linear": {"dropout": 0.4, "damping": 0.3}}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "train: name files to learn from"),
        (["--train", "carts.jsonl"], "test: next-item needs"),
        (["--events", "carts.jsonl"], "--protocol leave-one-out, rolling, next-basket"),
        (["--events", "carts.jsonl", "--train", "carts.jsonl", "--protocol", "rolling"], "events:"),
        (["--events", "carts.jsonl", "--test", "carts.jsonl", "--protocol", "rolling"], "test:"),
        (["--train", "carts.jsonl", "--protocol", "held-out"], "heldout: "),
        (["--train", "carts.jsonl", "--heldout", "held.csv", "--protocol", "rolling"], "heldout:"),
        (["--train", "carts.jsonl", "--heldout", "held.csv", "--test", "carts.jsonl"], "test:"),
        (["--events", "carts.jsonl", "--protocol", "next-basket", "--repeats", "drop"], "repeats: 'drop'"),
        (["--train", "carts.jsonl", "--heldout", "held.csv", "--repeats", "new"], "repeats: 'new'"),
        (["--train", "carts.jsonl", "--test", "carts.jsonl", "--repeats", "all"], "repeats: 'all'"),
        (["--train", "carts.jsonl", "--test", "carts.jsonl", "--folds", "2"], "folds: 2"),
        (["--events", "carts.jsonl", "--protocol", "rolling", "--targets", "clicks"], "targets: 'clicks'"),
        (["--train", "carts.jsonl", "--test", "carts.jsonl", "--against", "stan"], "against: 'stan'"),
    ],
)
def test_flags_that_do_not_go_together_are_refused_in_one_line(command, carts, flags, said):
    code, out, err = command("evaluate", *flags, "--preset", "native", "--model", "popularity")
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    ledger = carts / "data" / "evaluations.jsonl"
    assert not ledger.exists() or not ledger.read_bytes()


TUNE = ("tune", "--train", "carts.jsonl", "--preset", "native", "--share", "0.5", "--trials", "5")


def test_what_a_search_prints_is_yaml_that_a_settings_file_can_hold_and_the_same_again(command, carts):
    flags = ["--model", "item_knn", "--set", "item_knn.neighbours=1..5", "--set", "item_knn.query_depth=3"]
    arguments = [*TUNE, *flags, "--k", "1"]
    code, out, _ = command(*arguments)
    assert code == 0
    assert command(*arguments)[1] == out
    assert out.startswith("# trial 1: NDCG@1 ")
    assert ", the published settings\n# trial 2: " in out
    assert "10 parameters of item_knn, 5 trials, seed 0, on " in out
    (carts / "tuned.yaml").write_text(out)
    _, shown, _ = command("config", "--config", "tuned.yaml")
    found = yaml.safe_load(out)["models"]["item_knn"]
    assert found["query_depth"] == 3  # what was given for the search belongs to what it found
    assert 1 <= found["neighbours"] <= 5
    assert shown.count("# tuned.yaml\n") == len(found)


def test_a_baseline_has_no_settings_so_flags_are_printed(command, carts):
    _, out, _ = command(*TUNE, "--model", "vstan", "--only", "distance_decay", "--seed", "1")
    assert yaml.safe_load(out) is None
    assert "--set vstan.distance_decay=" in out or "nothing better" in out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--set", "linear.share=0.1"], "session_knn is tuned"),
        (["--set", "session_knn.neighbours=5..1"], "write LOW..HIGH"),
        (["--set", "session_knn.neighbors=3"], "session_knn.neighbors: 3"),
        (["--measure", "auc"], "measure: 'auc'"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused_in_one_line(command, carts, flags, said):
    code, out, err = command(*TUNE, *flags)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--set", "hybrid.setting=worst"], "models that are asked about can be set: popularity"),
        (["--set", "popularity.half_lives=3"], "did you mean half_life_days?"),
        (["--out", "nowhere/report.json"], "there is no folder nowhere"),
        (["--model", "content"], "name files by --products"),
        (["--protocol", "leave-one-out"], "test: 'carts.jsonl' is not valid: leave it out: leave-one-out splits"),
        (["--config", "nofile.yaml"], "there is no such file"),
    ],
)
def test_an_evaluation_that_cannot_be_meant_is_refused_before_it_starts(command, carts, flags, said):
    arguments = ["--train", "carts.jsonl", "--test", "carts.jsonl", "--preset", "native", "--model", "popularity"]
    code, out, err = command("evaluate", *arguments, *flags)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_data_directory_that_cannot_be_written_to_is_said_before_anything_is_fitted(command, carts):
    (carts / "d").write_text("a file")
    arguments = ["--train", "carts.jsonl", "--test", "carts.jsonl", "--preset", "native", "--model", "popularity"]
    code, out, _ = command("evaluate", *arguments, "--data-dir", "d", "--dump", "dump.parquet")
    assert (code, out) == (1, "")
    assert not (carts / "dump.parquet").exists()


def test_features_are_printed_by_the_shops_ids_and_checked_against_the_archive(command, history, tmp_path):
    catalogue = tmp_path / "products.jsonl"
    catalogue.write_bytes(orjson.dumps({"product_id": "p0", "brand": "Mare"}) + b"\n")
    command("import-products", catalogue)
    command("import-events", history)
    command("refresh")
    _, out, _ = command("features", "--customer", "c1")
    rows = [orjson.loads(line) for line in out.splitlines()]
    assert [row["features"] for row in rows] == ["customers", "tastes", "pairs", "pairs", "pairs"]
    assert (rows[0]["customer_id"], rows[0]["views"], rows[1]["value"]) == ("c1", 3, "Mare")
    assert {row["product_id"] for row in rows[2:]} == {"p0", "p1", "p2"}
    _, out, _ = command("features", "--product", "p2")
    assert orjson.loads(out)["exits"] == 1
    assert command("features", "--skew")[:2] == (0, "24 values are what their definitions give\n")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "give one of"),
        (("--customer", "c1", "--product", "p1"), "give one of"),
        (("--product", "nothing"), "name a product"),
        (("--customer", "nobody"), "nothing is held about customer"),
        (("--skew",), "run refresh"),
    ],
)
def test_features_that_are_not_there_are_said_with_what_to_do(command, history, flags, said):
    command("import-events", history)
    code, _, err = command("features", *flags)
    assert code == 2
    assert said in err


def test_the_command_line_starts_without_loading_what_only_some_commands_need():
    heavy = {"ibis", "lightgbm", "optuna", "pandas", "scipy.stats", "sqlglot"}
    loaded = f"import sys, active_customers.cli; print({heavy} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True) == "set()\n"


def test_an_answer_is_explained_to_people(command, history):
    """Before anything was trained; with another parameter; and as JSON."""
    command("import-events", history)
    code, out, _ = command("explain", "--customer", "c1", "--product", "p1")
    assert code == 0
    assert out.startswith("product p1 for customer c1, home page of 10\nmodel none, ")
    assert "shown at place " in out
    code, out, _ = command(
        "explain", "--customer", "c1", "--product", "p1", "--context", "browse", "--with", "exclude=p1"
    )
    assert (code, "not shown: the request excludes it (excluded)" in out) == (0, True)
    code, out, _ = command("explain", "--customer", "c1", "--product", "nothing", "--json")
    assert (code, orjson.loads(out)["not_shown"][0]["code"]) == (0, "unknown")


@pytest.mark.parametrize(
    ("flags", "message"), [(("--with", "n"), "write NAME=VALUE"), (("--context", "moon"), "send one of")]
)
def test_what_cannot_be_explained_is_refused(command, history, flags, message):
    command("import-events", history)
    code, _, err = command("explain", "--customer", "c1", "--product", "p1", *flags)
    assert (code, message in err) == (2, True)


def test_robots_are_listed_and_taken_for_persons(command, tmp_path):
    rows = [
        {
            "customer_id": name,
            "event_type": "view",
            "product_id": 1,
            "timestamp": "2025-01-01T12:00:00Z",
            "metadata": data,
        }
        for name, data in (("7", {"user_agent": "Googlebot/2.1"}), ("person", {"user_agent": "Safari"}))
    ]
    (tmp_path / "robots.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    assert command("import-events", "robots.jsonl", "--data-dir", "d")[0] == 0
    code, out, _ = command("customers", "--robots", "--data-dir", "d")
    robot = orjson.loads(out)
    assert (code, robot["customer_id"], robot["rule"]) == (0, 7, "user_agent")
    assert command("customers", "--person", "7", "--data-dir", "d")[0] == 0
    assert command("customers", "--robots", "--data-dir", "d")[:2] == (0, "")
    code, _, err = command("customers", "--person", "person", "--data-dir", "d")
    assert (code, "is not taken for a robot" in err) == (2, True)
    assert command("customers", "--data-dir", "d")[0] == 2


def test_settings_of_consent_and_robots_count_for_imports(command, tmp_path):
    row = {"customer_id": "a", "event_type": "view", "product_id": 1, "timestamp": "2025-01-01T12:00:00Z"}
    (tmp_path / "events.jsonl").write_bytes(orjson.dumps(row))
    (tmp_path / "strict.yaml").write_text("consent: {default: none}\n")
    out = command("import-events", "events.jsonl", "--data-dir", "d", "--config", "strict.yaml")[1]
    assert "no consent to a profile" in out
    assert command("export", "a", "--data-dir", "d")[0] == 2
