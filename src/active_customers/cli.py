"""The command line: thin functions that read flags, call one thing, and print what came of it."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from urllib.parse import urlencode

import orjson
import pyarrow as pa
import typer

from active_customers import (
    __version__,
    closed_loop_command,
    evaluate_command,
    experiments_command,
    explain_command,
    off_policy_command,
    rules_command,
    tune_command,
)
from active_customers.batch.choice_history import REWARDS, Asked, read_choices
from active_customers.batch.customer_export import CustomerExport
from active_customers.batch.daily_refresh import Refresh, lines_about
from active_customers.batch.feature_engineering import FeatureEngineering
from active_customers.batch.feature_sheet import FeatureSheet
from active_customers.batch.published import published, row_as_json, table
from active_customers.catalog.rule_file import as_yaml
from active_customers.command_options import (
    DEFAULT_DATA,
    ConfigFile,
    DataDir,
    DryRun,
    loaded,
    opened_directory,
)
from active_customers.config.settings import Settings, default_yaml, explain, set_in
from active_customers.core.clock import DAY, SystemClock, format_time
from active_customers.core.errors import (
    ActiveCustomersError,
    InvalidValueError,
    NoDataError,
    RefreshRefusedError,
    SettingsError,
    UnknownCustomerError,
)
from active_customers.core.identifiers import json_id
from active_customers.evaluation.contestants import LINES
from active_customers.evaluation.protocols import PROTOCOLS
from active_customers.evaluation.simulator import simulate
from active_customers.evaluation.tuning import MEASURES, TuningRequest, tune
from active_customers.importing.download import Downloads
from active_customers.importing.events import EventStore, check_events, import_events
from active_customers.importing.preset import DEFAULT
from active_customers.importing.products import check_products, import_products
from active_customers.importing.report import ImportReport
from active_customers.importing.request import ImportRequest
from active_customers.models.artifacts import ArtifactStore
from active_customers.processes import log_to_stderr, serve_alone, serve_together
from active_customers.realtime.access import Access, token_of
from active_customers.realtime.explain_routes import parse_explain
from active_customers.serving.server import listen
from active_customers.serving.startup import Startup
from active_customers.serving.writer_socket import wait_until_free
from active_customers.storage.admission import CustomerRules
from active_customers.storage.archive import Archive
from active_customers.storage.base import CatalogStore
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.simulated_clock import clock_of
from active_customers.terminal import progress, say
from active_customers.warm_up import compile_kernels
from active_customers.wiring import build_eraser, build_explainer, build_readiness, service_clock

app = typer.Typer(
    name="active-customers",
    help="Real-time product recommendations for online shops.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

models = typer.Typer(help="List the published models, or go back to earlier ones.", no_args_is_help=True)
app.add_typer(models, name="models")
rules = typer.Typer(help="Check, store or show the rules of the shop.", no_args_is_help=True)
app.add_typer(rules, name="rules")
app.add_typer(experiments_command.app, name="experiments")

Files = Annotated[list[Path], typer.Argument(help="CSV, TSV, JSONL (also .gz, .zst) or Parquet.")]
Preset = Annotated[str | None, typer.Option(help="What the columns mean; native when it is not given.")]
MaxRejected = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Share of rows that may be rejected; above it the exit code is 3. [default: 0.1]"),
]

RuleFile = Annotated[Path, typer.Argument(help="YAML: `rules:` and a list of rules.")]

NOTHING_READ = 2
"""Exit code of an import whose files hold no rows."""
TOO_MANY_REJECTED = 3
"""Exit code of an import that rejected more of its rows than it may; the others are imported."""


def main() -> None:
    """Run the command line; what goes wrong is one line that says what to do."""
    try:
        app()
    except ActiveCustomersError as error:
        sys.stderr.write(f"active-customers: {error}\n")
        sys.exit(2)
    except (OSError, pa.ArrowException) as error:  # a file that cannot be read or written says so itself
        sys.stderr.write(f"active-customers: {error}\n")
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        say(__version__)
        raise typer.Exit


@app.command("serve")
def serve(
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address to bind to.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer.")] = None,
    clock: Annotated[str | None, typer.Option(help="system, or simulated: moved by POST /admin/clock.")] = None,
) -> None:
    """Answer requests until stopped."""
    flags: dict[str, object] = {
        "server.host": host,
        "server.port": port,
        "server.workers": workers,
        "server.clock": clock,
    }
    settings = loaded(config, data_dir, flags).settings
    log_to_stderr()
    startup = Startup(say)
    _check_exposure(settings)
    directory = DataDirectory(data_dir)
    wait_until_free(directory, lambda why: startup.doing(f"waiting: {why}"))
    service_clock(settings, directory)  # refused here, once, and not by each process
    listener = listen(settings.server.host, settings.server.port)
    address, bound = listener.getsockname()[:2]
    startup.url = f"http://{f'[{address}]' if ':' in address else address}:{bound}"
    start = serve_alone if settings.server.workers == 1 else serve_together
    if not start(settings, directory, listener, startup):
        sys.exit(1)


def _check_exposure(settings: Settings) -> None:
    """Refuse to be reached by others where that needs keys, or where they could move the time."""
    host = settings.server.host
    if _is_loopback(host):
        return
    if Access(settings.access).is_open:
        raise SettingsError(
            "server.host", host, "without API keys only loopback is served: set access.server_keys first"
        )
    if settings.server.clock == "simulated":
        raise SettingsError(
            "server.clock", settings.server.clock, f"only loopback is simulated, not {host}: bind to 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@app.command("import-events")
def import_events_command(
    files: Files,
    preset: Preset = None,
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    max_rejected: MaxRejected = None,
) -> None:
    """Import a history of events. Importing the same file twice changes nothing."""
    settings = loaded(config, data_dir, {"imports.most_rejected_share": max_rejected}).settings
    rules = CustomerRules(settings.consent, settings.robots)
    request = ImportRequest(files, data_dir, preset, settings.imports, rules=rules)
    with progress("import-events") as report:
        if dry_run:
            outcome = check_events(request, clock_of(request.directory), report)
        else:
            with opened_directory(request.directory, settings) as opened:
                store = EventStore(opened.writer, opened.store)
                outcome = import_events(request, store, opened.clock, report)
    _report(outcome)


@app.command("import-products")
def import_products_command(
    files: Annotated[list[str], typer.Argument(help="CSV, TSV, XML, JSONL (also .gz, .zst) or Parquet, or addresses.")],
    preset: Preset = None,
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    full: Annotated[bool, typer.Option("--full", help="What the files lack becomes unavailable.")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="Keep what the files say nothing of.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Believe a full feed however much it lacks.")] = False,
    max_rejected: MaxRejected = None,
) -> None:
    """Import catalogue entries; those with a known id are replaced."""
    flags: dict[str, object] = {"imports.most_rejected_share": max_rejected}
    settings, directory = loaded(config, data_dir, flags).settings, DataDirectory(data_dir)
    with TemporaryDirectory(prefix="active-customers-") as folder:
        # A feed is the same only for the same flags; a full one is whole only with the others beside it.
        purpose = " ".join([preset or DEFAULT, *(["--merge"] if merge else []), *(["--full", *files] if full else [])])
        downloads = Downloads(Path(folder), directory.feeds, settings.imports.download, purpose)
        paths = downloads.paths(files, whole=full)
        if len(paths) < len(files):
            say(f"{len(files) - len(paths)} of {len(files)} have not changed since they were imported")
        if not paths:
            return
        request = ImportRequest(paths, data_dir, preset, settings.imports, full=full, force=force, merge=merge)
        with progress("import-products") as report:
            if dry_run:
                with _catalogue_at_hand(directory, settings) as known:
                    outcome = check_products(request, report, known)
            else:
                with opened_directory(directory, settings) as opened:
                    writer, catalog = opened.writer, opened.store.catalog
                    outcome = import_products(request, writer, opened.clock, report, catalog)
                if not outcome.has_too_many_rejects:  # else the next run would pass it over as unchanged
                    downloads.remember()
    _report(outcome)


@contextmanager
def _catalogue_at_hand(directory: DataDirectory, settings: Settings) -> Iterator[CatalogStore | None]:
    """Yield the catalogue to read, beside a service or without one; None where nothing has been stored."""
    if not directory.store.exists():
        yield None
        return
    with closing(EmbeddedStore(directory.store, settings.storage).open()) as store:
        yield store.catalog


def _report(outcome: ImportReport) -> None:
    """Print what became of the rows; when none of them could be read, or too few, that is a failure."""
    for line in outcome.lines():
        say(line)
    if not outcome.read:
        sys.exit(NOTHING_READ)
    if outcome.has_too_many_rejects:
        sys.stderr.write(f"active-customers: {outcome.complaint()}\n")
        sys.exit(TOO_MANY_REJECTED)
    if outcome.rejected and not (outcome.accepted or outcome.duplicates):
        sys.exit(1)


@app.command("refresh")
def refresh(
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    force: Annotated[
        bool, typer.Option("--force", help="Publish even what is worse than the models in force.")
    ] = False,
) -> None:
    """Train on everything logged so far and publish what is no worse; a running service takes it up by itself."""
    settings = loaded(config, data_dir).settings
    directory = DataDirectory(data_dir)
    try:
        with ExitStack() as owning, progress("refresh") as report:
            opened = owning.enter_context(opened_directory(directory, settings))
            job = Refresh(directory, opened.clock, settings.refresh, settings.models, settings.shop)
            catalogue = dict(opened.store.catalog.products())
            manifest = job.run(opened.writer, report, force=force, catalogue=catalogue, let_go=owning.close)
    except RefreshRefusedError as error:
        sys.stderr.write(f"active-customers: {error}\n")
        sys.exit(1)
    for line in lines_about(manifest):
        say(line)


@models.command("list")
def models_list(
    data_dir: DataDir = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an object a line.")] = False,
) -> None:
    """Print the published versions, oldest first."""
    rows = list(published(ArtifactStore(DataDirectory(data_dir).models)))
    if not rows:
        raise NoDataError("nothing was published yet: run refresh")
    for line in map(row_as_json, rows) if as_json else table(rows):
        say(line)


@models.command("rollback")
def models_rollback(
    version: Annotated[str | None, typer.Argument(help="By default the one before that in force.")] = None,
    data_dir: DataDir = DEFAULT_DATA,
) -> None:
    """Put an earlier version in force again; a running service takes it up by itself."""
    artifacts = ArtifactStore(DataDirectory(data_dir).models)
    before = artifacts.current()
    say(f"{artifacts.roll_back(version)} is in force (before: {before})")


@rules.command("check")
def rules_check(file: RuleFile, data_dir: DataDir = DEFAULT_DATA, config: ConfigFile = None) -> None:
    """Say whether a file of rules could be stored, and warn of products that the catalogue, if any, does not have."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with _catalogue_at_hand(directory, settings) as catalog:
        for line in rules_command.check(file, catalog):
            say(line)


@rules.command("put")
def rules_put(
    file: RuleFile, data_dir: DataDir = DEFAULT_DATA, config: ConfigFile = None, dry_run: DryRun = False
) -> None:
    """Make the rules of a file all the rules that there are; a running service goes by them within a second."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with opened_directory(directory, settings) as opened:
        for line in rules_command.put(file, opened, directory, dry_run=dry_run):
            say(line)


@rules.command("show")
def rules_show(data_dir: DataDir = DEFAULT_DATA, config: ConfigFile = None) -> None:
    """Print all rules as a file that `rules put` takes."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with closing(EmbeddedStore(directory.store, settings.storage).open()) as store:
        say(as_yaml(store.rules.all().values()).rstrip())


@app.command("erase")
def erase(
    customer: Annotated[str, typer.Argument(help="The shop's id of the customer.")],
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the receipt as JSON.")] = False,
) -> None:
    """Erase everything held about a customer and print the receipt; asking again prints it again."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with opened_directory(directory, settings) as opened:
        eraser = build_eraser(settings, directory, opened.store, opened.writer.erase)
        receipt = eraser.erase(customer)
        if not opened.is_served:
            opened.writer.finish_erasures()
            receipt = eraser.receipt(customer)
    for line in [receipt.model_dump_json()] if as_json else receipt.lines():
        say(line)


@app.command("export")
def export(
    customer: Annotated[str, typer.Argument(help="The shop's id of the customer.")],
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
) -> None:
    """Print everything held about a customer as JSON lines."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with closing(EmbeddedStore(directory.store, settings.storage).open()) as store:
        for row in CustomerExport(store, Archive(directory.archive)).rows(customer):
            say(orjson.dumps(row).decode())


@app.command("customers")
def customers(
    robots: Annotated[bool, typer.Option("--robots", help="List who is taken for a robot, and by which rule.")] = False,
    person: Annotated[str | None, typer.Option(help="Take this customer for a person, for good.")] = None,
    token: Annotated[str | None, typer.Option(help="Print this customer's X-Customer-Token.")] = None,
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
) -> None:
    """List customers who are taken for robots, as JSON lines, take one of them for a person, or print a token."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    if not robots and person is None and token is None:
        raise typer.BadParameter("give --robots, --person ID or --token ID")
    if token is not None:
        say(token_of(settings.access, token))
    if person is not None:
        with opened_directory(directory, settings) as opened:
            if not opened.writer.acquit(person):
                raise UnknownCustomerError(f"customer {person!r} is not taken for a robot: see customers --robots")
        say(f"{person} is taken for a person: from the next refresh on their acts count again")
    if robots:
        with closing(EmbeddedStore(directory.store, settings.storage).open()) as store:
            for robot in store.customers.robots():
                row = {"customer_id": json_id(robot.customer_id), "rule": robot.rule, "since": format_time(robot.since)}
                say(orjson.dumps(row).decode())


@app.command("features")
def features(
    customer: Annotated[str | None, typer.Option(help="The shop's id of a customer: features, tastes, pairs.")] = None,
    product: Annotated[str | None, typer.Option(help="The shop's id of a product.")] = None,
    skew: Annotated[bool, typer.Option("--skew", help="Compare what serving reads with the archive, anew.")] = False,
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
) -> None:
    """Print features of the version in force as JSON lines, or check that serving reads what is defined."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with closing(EmbeddedStore(directory.store, settings.storage).open()) as store:
        sheet = FeatureSheet(ArtifactStore(directory.models), store)
        if skew:
            scratch = directory.root / f".features-{os.getpid()}.tmp"
            found = sheet.skew(FeatureEngineering(Archive(directory.archive), settings.refresh, scratch))
            say(found.line())
            sys.exit(1 if found.largest else 0)
        for row in sheet.rows(customer, product):
            say(orjson.dumps(row).decode())


@app.command("explain")
def explain_command_(
    customer: Annotated[str, typer.Option(help="The shop's id of the customer.")],
    product: Annotated[str, typer.Option(help="The shop's id of the product.")],
    context: Annotated[str, typer.Option(help="Where the answer is shown.")] = "home",
    more: Annotated[
        list[str] | None,
        typer.Option("--with", help="Another parameter, such as n=20 or page_product_id=7 (repeatable)."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the account as JSON.")] = False,
) -> None:
    """Print why a customer is shown a product, or why not: sources, the ranker's features, what was applied."""
    given = [("customer_id", customer), ("product_id", product), ("context", context)]
    given += [explain_command.pair(text) for text in more or []]
    query, product_id = parse_explain(urlencode(given).encode())
    store, explainer = build_explainer(loaded(config, data_dir).settings, DataDirectory(data_dir))
    with closing(store):
        account = explainer.account(query, product_id, explainer.languages.asked(query.lang, ()))
    for line in [account.model_dump_json()] if as_json else explain_command.lines(account):
        say(line)


@app.command("readiness")
def readiness(
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Print what answers are made of, and what each source still needs."""
    settings, directory = loaded(config, data_dir).settings, DataDirectory(data_dir)
    with closing(EmbeddedStore(directory.store, settings.storage).open()) as store:
        report = build_readiness(settings, directory, store).report()
    for line in [report.model_dump_json()] if as_json else report.lines():
        say(line)


@app.command("simulate")
def simulate_command(
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; `shop` in the data directory by default.")
    ] = None,
    customers: Annotated[int, typer.Option(help="How many customers come.")] = 2_000,
    products: Annotated[int, typer.Option(help="Size of the catalogue.")] = 500,
    days: Annotated[int, typer.Option(help="Length of the period.")] = 30,
    seed: Annotated[int, typer.Option(help="Another seed is another shop.")] = 1,
    end: Annotated[str | None, typer.Option(help="End of the period, midnight UTC.")] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            envvar="ACTIVE_CUSTOMERS_DATA_DIR",
            help="Where the shop is; for the closed loop a new folder, or that of the service at --url.",
        ),
    ] = None,
    config: ConfigFile = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE of another knob, such as cart_rate=0.02 (repeatable)."),
    ] = None,
    closed_loop: Annotated[
        bool, typer.Option("--closed-loop", help="Let the customers meet a running service.")
    ] = False,
    warm_up: Annotated[int | None, typer.Option(help="Days of history before the days of the closed loop.")] = None,
    before: Annotated[
        list[str] | None,
        typer.Option(help='Command to run before the first customer, such as "rules put rules.yaml" (repeatable).'),
    ] = None,
    strategies: Annotated[str | None, typer.Option(help="Split the customers among these, comma-separated.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that answer the closed loop.")] = 1,
    url: Annotated[
        str | None, typer.Option(help="A service with a simulated clock to meet, not one of its own.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Its key of the admin scope.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report of the closed loop as JSON.")] = False,
) -> None:
    """Make a believable shop: catalogue, pictures, and a history of its customers; or let them meet a service."""
    size = {"customers": customers, "products": products, "days": days, "seed": seed}
    flags = size if end is None else {**size, "end": end}
    of_shop, of_loop = closed_loop_command.knobs(settings or [])
    simulator = closed_loop_command.shop_config({**flags, **of_shop})
    if closed_loop:
        place = closed_loop_command.Where(data_dir, config, workers, url, key)
        loop = closed_loop_command.loop_config(of_loop, warm_up, strategies, before or ())
        closed_loop_command.run(simulator, loop, place, closed_loop_command.Output(out, as_json))
        return
    if of_loop or as_json or any(flag is not None for flag in (warm_up, before, strategies, url, key)):
        raise InvalidValueError("closed-loop", False, "what was asked for is done in it only: add --closed-loop")
    out = out or (data_dir or DEFAULT_DATA) / "shop"
    with progress("simulate") as report:
        outcome = simulate(simulator, out, report)
    say(
        f"simulated {outcome.events:,} events of {outcome.customers:,} customers on {outcome.products:,} products: "
        f"{outcome.conversion:.1%} of sessions buy, {outcome.cart_abandonment:.0%} of carts are left; in {out}"
    )


@app.command("evaluate")
def evaluate(
    train: Annotated[list[Path] | None, typer.Option(help="Files to learn from (repeatable).")] = None,
    test: Annotated[Path | None, typer.Option(help="File to predict.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Name of a model (repeatable); see --list-models.")] = None,
    valid: Annotated[Path | None, typer.Option(help="File to learn from as well.")] = None,
    events: Annotated[Path | None, typer.Option(help="One file that rolling and next-basket split by time.")] = None,
    heldout: Annotated[Path | None, typer.Option(help="What was held out of --train: user_id, item_id.")] = None,
    products: Annotated[list[Path] | None, typer.Option(help="Files that describe products (repeatable).")] = None,
    preset: Preset = None,
    protocol: Annotated[str | None, typer.Option(help=f"{', '.join(PROTOCOLS)}; next-item by default.")] = None,
    loose: Annotated[bool, typer.Option("--loose", help="leave-one-out: fit on all but the last act.")] = False,
    repeats: Annotated[str, typer.Option(help="Products that come again: keep, drop or new.")] = "keep",
    folds: Annotated[int, typer.Option(help="rolling: how many windows.")] = 5,
    targets: Annotated[str, typer.Option(help="rolling: any, view, cart_add or purchase.")] = "any",
    horizon_days: Annotated[float | None, typer.Option(help="rolling, next-basket: length of a window.")] = None,
    against: Annotated[str | None, typer.Option(help="Model to compare the others with; the first one.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Replay the test part through the service's answers.")] = False,
    k: Annotated[int, typer.Option(help="Length of the lists.")] = 20,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="MODEL.PARAMETER=VALUE, for this run only (repeatable).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("report.json"),
    html: Annotated[Path | None, typer.Option(help="The report as one page with plots.")] = None,
    dump: Annotated[Path | None, typer.Option(help="Parquet file of every prediction.")] = None,
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    list_models: Annotated[bool, typer.Option("--list-models", help="Print what can be measured, and end.")] = False,
) -> None:
    """Measure how well models foretell what customers do; `models.*` settings count."""
    if list_models:
        for name, line in LINES.items():
            say(f"{name:<18}{line}")
        return
    if not (model or live):
        raise typer.BadParameter("--model is needed, unless --live or --list-models is given")
    in_force = loaded(config, data_dir).settings
    configs = in_force.models.by_name()
    for setting in settings or []:
        set_in(configs, setting)
    learned = (*(train or []), *([valid] if valid else []))
    files = evaluate_command.Files(learned, test, events, heldout, preset, tuple(products or []))
    options = evaluate_command.Options(
        models=tuple(model or []),
        configs=configs,
        protocol=protocol,
        k=k,
        loose=loose,
        repeats=repeats,
        folds=folds,
        targets=targets,
        horizon_days=horizon_days,
        against=against,
        live=in_force.live_index if live else None,
    )
    evaluate_command.check_changed(settings or [], options)
    outputs = evaluate_command.Outputs(out, DataDirectory(data_dir).evaluations, html, dump)
    with progress("evaluate") as report:
        outcome = evaluate_command.run(files, options, outputs, report)
    outcome = evaluate_command.written(outcome, options, outputs, SystemClock())
    for line in evaluate_command.lines(outcome):
        say(line)
    say(f"report: {out}")


@app.command("off-policy")
def off_policy(
    open_bandit: Annotated[
        list[Path] | None,
        typer.Option(help="Parquet with logs of two policies; each is judged by the other's (repeatable)."),
    ] = None,
    bandit: Annotated[str | None, typer.Option(help="Bandit of the shop; needed where it has several.")] = None,
    bandit_version: Annotated[int | None, typer.Option(help="The newest by default.")] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="ARM, ARM=SHARE,ARM=SHARE or uniform (repeatable); each arm and uniform by default."),
    ] = None,
    reward: Annotated[str, typer.Option(help=f"What a choice is to bring about: {', '.join(REWARDS)}.")] = "click",
    window_hours: Annotated[float, typer.Option(help="How long after the choice that counts.")] = 24,
    max_weight: Annotated[float | None, typer.Option(help="Cut weights above this.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file of all that was found.")] = None,
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
) -> None:
    """Estimate what other policies would earn, from choices that a bandit made and logged."""
    files, how = open_bandit or [], off_policy_command.cutting(max_weight)
    of_shop = {"bandit": bandit, "bandit_version": bandit_version, "policy": policy}
    off_policy_command.check(files, of_shop, out)
    sections = list(off_policy_command.from_files(files, how))
    if not files:
        asked = Asked(bandit, bandit_version, reward, off_policy_command.window(window_hours))
        found = read_choices(data_dir, asked, loaded(config, data_dir).settings.storage)
        sections.append(off_policy_command.from_shop(found, asked, policy or [], how))
    for section in sections:
        for line in section.lines():
            say(line)
    if out:
        off_policy_command.write(sections, out)


@app.command("tune")
def tune_model(
    train: Annotated[list[Path] | None, typer.Option(help="Files to learn from (repeatable).")] = None,
    products: Annotated[list[Path] | None, typer.Option(help="Files that describe products (repeatable).")] = None,
    model: Annotated[str, typer.Option(help="Name of a model; see evaluate --list-models.")] = "session_knn",
    preset: Preset = None,
    trials: Annotated[int, typer.Option(help="Settings to try, the published ones included.")] = 30,
    minutes: Annotated[float | None, typer.Option(help="Begin no trial after so long.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="MODEL.PARAMETER=LOW..HIGH searches there, =VALUE not at all (repeatable)."),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Parameter or section to search (repeatable).")] = None,
    measure: Annotated[str, typer.Option(help=f"What is best: {', '.join(MEASURES)}.")] = "ndcg",
    k: Annotated[int, typer.Option(help="Length of the lists.")] = 20,
    share: Annotated[float, typer.Option(help="Share of the sessions, the newest, that are asked.")] = 0.1,
    targets: Annotated[str, typer.Option(help="any, view, cart_add or purchase.")] = "any",
    repeats: Annotated[str, typer.Option(help="Products that come again: keep, drop or new.")] = "keep",
    seed: Annotated[int, typer.Option(help="Of everything drawn by chance.")] = 0,
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
) -> None:
    """Search settings of a model on the newest training sessions; prints them as YAML."""
    plain = TuningRequest(
        train=(),
        model=model,
        only=tuple(only or []),
        trials=trials,
        minutes=minutes,
        measure=measure,
        k=k,
        share=share,
        targets=targets,
        repeats=repeats,
        seed=seed,
    )
    given = tune_command.Given(train or [], preset, settings or [], products or [])
    request = tune_command.request_of(given, plain, loaded(config, data_dir).settings.models.by_name())
    with progress("tune") as report:
        outcome = tune(request, tune_command.Teller(request, report))
    for line in tune_command.lines(outcome, request):
        say(line)


@app.command("config")
def config_command(
    data_dir: DataDir = DEFAULT_DATA,
    config: ConfigFile = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="Print a settings file with all defaults.")] = False,
) -> None:
    """Print the settings in force and where each value came from."""
    if defaults:
        say(default_yaml().rstrip())
        return
    rows = list(explain(loaded(config, data_dir)))
    width = max(len(f"{key}: {value}") for key, value, _ in rows)
    for key, value, origin in rows:
        say(f"{f'{key}: {value}'.ljust(width)}  # {origin}")


@app.command("compile", hidden=True)
def compile_command() -> None:
    """Compile the kernels, so that nothing ever waits for it."""
    with progress("compile") as report:
        compile_kernels(report)


@app.command("demo")
def demo(data_dir: DataDir = Path(".demo"), port: int = 8000) -> None:
    """Simulate a small shop, train, and serve it; the second start does neither again."""
    shop, directory = data_dir / "shop", DataDirectory(data_dir)
    if ArtifactStore(directory.models).current() is None:
        now = SystemClock().now()
        simulate_command(shop, end=format_time(now - now % DAY))
        import_products_command([str(shop / "products.jsonl")], data_dir=data_dir)
        import_events_command([shop / "events.parquet"], data_dir=data_dir)
        refresh(data_dir)
    serve(data_dir, port=port)


if __name__ == "__main__":
    main()
