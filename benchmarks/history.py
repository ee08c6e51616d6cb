"""From files to the first answer: import and training of a large history, and of a real shop's files."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.audience import asked
from benchmarks.http_connection import Connection
from benchmarks.plan import Plan, Result, say
from benchmarks.service import command, serving
from benchmarks.spread import shown, spread
from benchmarks.synthetic import SyntheticHistory
from benchmarks.traffic import get

EVENTS, PRODUCTS = 2_000_000, 20_000


def run(plan: Plan) -> Result:
    """Import and train some times over, each time into an empty data directory."""
    history = SyntheticHistory(PRODUCTS, plan.size(EVENTS))
    rounds = []
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}")
        rounds.append(_import_and_train(history, plan.shops.scratch))
    figures: dict[str, object] = {
        "events": history.events,
        "import_seconds": spread([imported for imported, _ in rounds]),
        "import_events_per_second": spread([history.events / imported for imported, _ in rounds]),
        "refresh_seconds": spread([trained for _, trained in rounds]),
    }
    lines = [
        f"import of {history.events:,} events: {shown(spread([imported for imported, _ in rounds]), ' s')}",
        f"refresh on them: {shown(spread([trained for _, trained in rounds]), ' s')}",
    ]
    transactions = plan.shops.data / "uci_online_retail" / "transactions.parquet"
    if transactions.exists():
        say("uci_online_retail")
        steps = _first_answer(transactions, plan.shops.scratch)
        figures["uci_online_retail_seconds"] = steps
        lines.append(f"uci_online_retail, from the file to the first answer: {steps['together']} s")
    return Result(history.name, plan.rounds, figures, lines)


def _import_and_train(history: SyntheticHistory, scratch: Path) -> tuple[float, float]:
    """Return the seconds of `import-events` and of `refresh`."""
    with TemporaryDirectory(dir=scratch) as folder:
        file = Path(folder) / "history.parquet"
        history.write(file)
        imported = _seconds("import-events", file, "--data-dir", f"{folder}/data")
        return imported, _seconds("refresh", "--data-dir", f"{folder}/data")


def _first_answer(transactions: Path, scratch: Path) -> dict[str, float]:
    """Return the seconds of each step from the file to the first answer; start-up includes the interpreter's."""
    steps: dict[str, float] = {}
    with TemporaryDirectory(dir=scratch) as folder:
        for verb in ("import-products", "import-events"):
            steps[verb] = _seconds(verb, transactions, "--preset", "uci-online-retail", "--data-dir", folder)
        steps["refresh"] = _seconds("refresh", "--data-dir", folder)
        started = time.perf_counter()
        with serving(Path(folder)) as service:
            connection = Connection(service.port).open()
            asked(connection, get("17850"))
            steps["serve_to_first_answer"] = round(time.perf_counter() - started, 2)
            connection.close()
    return steps | {"together": round(sum(steps.values()), 2)}


def _seconds(*arguments: str | Path) -> float:
    """Return how long a command takes, the interpreter's start included."""
    started = time.perf_counter()
    command(*arguments)
    return round(time.perf_counter() - started, 2)
