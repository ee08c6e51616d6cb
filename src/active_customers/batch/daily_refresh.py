"""`refresh`: read the history, let the gate compare, fit the models, check them, publish them as one version."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.batch.feature_engineering import FeatureEngineering, Reading
from active_customers.batch.gate import GateConfig, Outcome, Recipe, Verdict, judge
from active_customers.batch.held_out import log_of
from active_customers.batch.history import History, HistoryConfig, WhoIsWho, read_history
from active_customers.batch.refresh_reports import PUBLISHED, REFUSED, RefreshReport, RefreshReports
from active_customers.batch.schedule import ScheduleConfig
from active_customers.batch.skew import Skew, skew_of_version
from active_customers.core.clock import Clock, format_time
from active_customers.core.config import Config
from active_customers.core.errors import (
    ActiveCustomersError,
    ArtifactError,
    MissingLibraryError,
    NoDataError,
    RefreshRefusedError,
)
from active_customers.core.product import Product
from active_customers.core.recommendation import Goal
from active_customers.core.session import SessionQuery
from active_customers.models.artifacts import ArtifactStore, Manifest
from active_customers.models.base import Arrays, Candidates, Model, SessionLog
from active_customers.models.hybrid_model import Hybrid, HybridConfig
from active_customers.models.item_knn import ItemKnnConfig
from active_customers.models.patterns import Patterns, PatternsConfig, learn_patterns
from active_customers.models.popularity import PopularityConfig
from active_customers.models.registry import MODELS
from active_customers.models.trained import without_erased
from active_customers.realtime.context_engine import ShopConfig
from active_customers.realtime.session_recommender import PATTERNS, SessionRecommender, load_models
from active_customers.storage.archive import Archive
from active_customers.storage.base import StoreWriter
from active_customers.storage.data_dir import DataDirectory

Progress = Callable[[int, int], None]
Told = Callable[[], None]

_STEPS = {"hybrid": 10}
"""Steps that fitting a model takes, where that is not one: the hybrid's is most of a refresh."""
_STEPS_OF_MODELS = sum(_STEPS.get(name, 1) for name in MODELS)

NO_CATALOGUE: Mapping[int, Product] = {}

CHECKED_SESSIONS = 32
"""Sessions of the log that a fitted model is asked about before it is published."""


class RefreshConfig(HistoryConfig, ScheduleConfig):
    """What a refresh reads and keeps, when a service runs one, and what makes it refuse to publish."""

    keep_versions: Annotated[int, Field(ge=1)] = 5
    """Published versions that stay on disk."""
    feature_tables: bool = True
    """Whether features of products, customers and pairs are published beside the models, some 10 bytes an act."""
    gate: GateConfig = GateConfig()


class ModelConfigs(Config):
    """Parameters of the models that a refresh fits."""

    popularity: PopularityConfig = PopularityConfig()
    item_knn: ItemKnnConfig = ItemKnnConfig()
    hybrid: HybridConfig = HybridConfig()
    context: PatternsConfig = PatternsConfig()

    def by_name(self) -> dict[str, dict[str, Any]]:
        """Return the parameters of every model by its name, those of the hybrid's sources too."""
        models = self.model_dump(mode="json")
        sources = {name: models["hybrid"][name] for name in ("session_knn", "linear", "factorization", "content")}
        return {**sources, **models}


@dataclass(frozen=True, slots=True)
class _InForce:
    """The version that a new one has to stand up to."""

    manifest: Manifest
    configs: ModelConfigs
    recommender: SessionRecommender


@dataclass(frozen=True, slots=True)
class _Given:
    """What a refresh has from who owns the store: the version in force, what is to be compared, who is who."""

    replaced: str | None
    in_force: _InForce | Verdict
    who: WhoIsWho
    catalogue: Mapping[int, Product]


@dataclass(frozen=True, slots=True)
class _Fresh:
    """What is to be published, and what it is made from."""

    manifest: Manifest
    history: History
    catalogue: Mapping[int, Product]
    who: WhoIsWho


class Refresh:
    """One run of training on a data directory."""

    def __init__(
        self,
        directory: DataDirectory,
        clock: Clock,
        config: RefreshConfig,
        models: ModelConfigs,
        shop: ShopConfig | None = None,
    ) -> None:
        self._archive = Archive(directory.archive)
        self._artifacts = ArtifactStore(directory.models)
        self._reports = RefreshReports(self._artifacts)
        self._clock = clock
        self._config = config
        self._scratch = directory.models / ".scratch"
        self._engineering = FeatureEngineering(self._archive, config, directory.models / ".features.tmp")
        self._models = models
        self._shop = shop or ShopConfig()
        self._started = 0.0
        self._questions: dict[str, int] = {}
        """What the trees fitted last had to learn from, by goal."""

    def run(
        self,
        writer: StoreWriter,
        progress: Progress,
        *,
        force: bool = False,
        catalogue: Mapping[int, Product] = NO_CATALOGUE,
        let_go: Told | None = None,
    ) -> Manifest:
        """Train on everything logged so far and publish; return what the new version says about itself.

        With `force` whatever the gate says. `catalogue` holds products by number: what it says of them lets models
        propose those that nobody acted on yet, and tells customers' tastes; before any events it is all that is learned
        from. `let_go` is called once nothing more is asked of the writer: all else is read from the archive, so another
        process may own the directory meanwhile. Raises `RefreshRefusedError` when the gate refuses, `NoDataError` when
        there is nothing to learn from, `ArtifactError` when a model fails its check, `StorageError` when the archive
        cannot be read, `StoreLockedError` at once when another refresh is running; then nothing is published and the
        version in force stays.
        """
        with self._artifacts.exclusive():
            self._started = time.perf_counter()
            replaced = self._artifacts.current()
            in_force = self._in_force(replaced, writer) if self._config.gate.enabled else Verdict(Outcome.OFF)
            writer.archive_log()
            who = WhoIsWho.of(writer)
            if let_go is not None:
                let_go()
            given = _Given(replaced, in_force, who, catalogue)
            return self._run(given, _Steps(progress, _STEPS_OF_MODELS), force=force)

    def _run(self, given: _Given, steps: _Steps, *, force: bool) -> Manifest:
        in_force, catalogue = given.in_force, given.catalogue
        seen = 1 if isinstance(in_force, Verdict) else in_force.manifest.watermark
        history = read_history(self._archive, self._config, self._scratch, given.who, seen)
        history = history.described(catalogue, self._clock.now())
        if not len(history) and history.features is None:
            raise NoDataError(
                "there are no events on products yet, and the catalogue describes none: run import-products or "
                "import-events, or post some, then refresh again"
            )
        steps.take()
        verdict = self._judge(in_force, history, steps)
        manifest = self._manifest(history, verdict, force=force)
        if not force:
            self._refuse_if_worse(manifest, verdict, given.replaced)
        fresh = _Fresh(manifest, history, catalogue, given.who)
        return self._publish(fresh, steps, given.replaced)

    def _in_force(self, version: str | None, writer: StoreWriter) -> _InForce | Verdict:
        """Load the version that a new one is compared with; a verdict where there is none."""
        if version is None:
            return Verdict(Outcome.NOT_COMPARED, reasons=("nothing was published before",))
        passed_over = writer.passed_over()
        try:
            manifest, arrays = without_erased(self._artifacts.load(version), passed_over)
            configs = ModelConfigs.model_validate(manifest.configs)
            return _InForce(manifest, configs, SessionRecommender(load_models(manifest, arrays)))
        except (ActiveCustomersError, KeyError, ValueError) as error:  # the last two: models of another program version
            return Verdict(Outcome.NOT_COMPARED, version, (f"{version} cannot be used ({error})",))

    def _judge(self, in_force: _InForce | Verdict, history: History, steps: _Steps) -> Verdict:
        """Compare with the version in force, or with its settings where those differ and too little is new."""
        if isinstance(in_force, Verdict):
            return in_force
        gate, version = self._config.gate, in_force.manifest.version
        new = self._recipe(history, self._models, steps)
        verdict = judge(history, gate, version, (lambda _rows: in_force.recommender, new))
        if verdict.outcome is Outcome.NOT_COMPARED and in_force.configs != self._models:
            old = self._recipe(history, in_force.configs, steps)
            all_unseen = replace(history, n_unseen=len(history))
            verdict = judge(all_unseen, gate, f"the settings of {version}", (old, new))
        return verdict

    def _recipe(self, history: History, configs: ModelConfigs, steps: _Steps) -> Recipe:
        def fit(rows: NDArray[np.bool_]) -> SessionRecommender:
            steps.add(_STEPS_OF_MODELS)
            manifest = replace(self._manifest(history, Verdict(Outcome.OFF)), configs=configs.model_dump(mode="json"))
            fitted, _ = self._fit(log_of(history, rows), configs, steps)
            return SessionRecommender(load_models(manifest, fitted))

        return fit

    def _fit(self, log: SessionLog, configs: ModelConfigs, steps: _Steps) -> tuple[dict[str, Arrays], list[str]]:
        """Fit every model and check it; return what was learned, and notes of what was done without.

        Raises `ArtifactError` when a model fails its check.
        """
        fitted: dict[str, Arrays] = {}
        notes: list[str] = []
        for name, entry in MODELS.items():
            model = entry.make(getattr(configs, name))
            with steps.several(_STEPS.get(name, 1)) as told:
                notes += _fitted(model, log, told)
                if isinstance(model, Hybrid):
                    self._questions = {goal.word: n for goal, n in model.n_questions.items()}
                check(name, model, log)
                fitted[name] = model.arrays()
        shop = self._shop
        fitted[PATTERNS] = learn_patterns(log, configs.context, shop.time_zone, shop.country).arrays()
        return fitted, notes

    def _refuse_if_worse(self, manifest: Manifest, verdict: Verdict, in_force: str | None) -> None:
        """Raise `RefreshRefusedError`, leaving a report, when the version must not be published.

        In the place of a version that an operator went back to only what was compared with it is published: else the
        next refresh would bring back what they left.
        """
        uncompared = verdict.outcome is Outcome.NOT_COMPARED and self._artifacts.is_rolled_back()
        if verdict.outcome is not Outcome.WORSE and not uncompared:
            return
        self._report(manifest, REFUSED, in_force)
        went_back = f"{in_force} was rolled back to, so it stays until it is compared; " if uncompared else ""
        raise RefreshRefusedError(
            f"{manifest.version} is not published, {in_force} stays in force: {went_back}{verdict.line()}. See what "
            "changed in the settings `models` and in what was logged, or publish it all the same: refresh --force"
        )

    def _publish(self, fresh: _Fresh, steps: _Steps, replaced: str | None) -> Manifest:
        manifest, log = fresh.manifest, fresh.history.log(self._clock.now())
        fitted, notes = self._fit(log, self._models, steps)
        patterns = Patterns.from_arrays(fitted[PATTERNS], {})
        manifest.facts.update(
            context={
                "time_zone": patterns.zone,
                "country": patterns.place.country,
                "learned": patterns.learned,
                "holidays": list(patterns.place.holidays),
            },
            sessions=log.n_sessions,
            customers=len(np.unique(log.customers)),
            products=len(np.unique(log.products)),
            described=0 if log.features is None else int((np.diff(log.features.offsets) > 0).sum()),
            questions=self._questions,
            notes=notes,
        )
        with self._features(fresh) as tables:
            manifest.facts["seconds"] = self._seconds()
            self._artifacts.publish(manifest, fitted, replaced, tables)
        self._artifacts.prune(self._config.keep_versions)
        skew = self._skew(manifest, log) if tables else None
        self._report(manifest, PUBLISHED, replaced, skew)
        steps.take()
        return manifest

    def _skew(self, manifest: Manifest, log: SessionLog) -> Skew | None:
        """Compare what was just published with its tables; None, and a note, where it cannot be read.

        It is in force by then: a refresh that failed here would have published without a report.
        """
        try:
            return skew_of_version(self._artifacts, manifest.version, log)
        except (ArtifactError, OSError, ValueError) as error:  # the last: a table that is no Parquet
            manifest.facts["notes"].append(f"features were not compared with what is served: {error}")
            return None

    @contextmanager
    def _features(self, fresh: _Fresh) -> Iterator[list[Path]]:
        """Yield the tables to be published, and note what they were made from."""
        if not self._config.feature_tables or not len(fresh.history):
            yield []
            return
        reading = Reading.of_history(fresh.history)
        fresh.manifest.facts["features"] = reading.noted()
        with self._engineering.tables(reading, fresh.catalogue, fresh.who) as tables:
            yield tables

    def _manifest(self, history: History, verdict: Verdict, *, force: bool = False) -> Manifest:
        now = self._clock.now()
        return Manifest(
            version=self._artifacts.next_version(now),
            created=now,
            watermark=history.watermark,
            holes=history.holes,
            n_products=history.n_products,
            configs=self._models.model_dump(mode="json"),
            hashes={},
            facts={"acts": len(history), "gate": verdict.as_dict() | {"forced": force}},
        )

    def _report(self, manifest: Manifest, outcome: str, replaced: str | None, skew: Skew | None = None) -> None:
        facts = manifest.facts
        self._reports.add(
            RefreshReport(
                version=manifest.version,
                time=format_time(manifest.created),
                outcome=outcome,
                replaced=replaced,
                watermark=manifest.watermark,
                acts=facts["acts"],
                seconds=self._seconds(),
                gate=facts["gate"],
                skew=None if skew is None else skew.as_dict(),
                notes=tuple(facts.get("notes", ())),
            )
        )

    def _seconds(self) -> float:
        return round(time.perf_counter() - self._started, 2)


class _Steps:
    """How far a refresh is: reading, the fit of all models, publishing; more where it fits twice."""

    def __init__(self, progress: Progress, of_models: int) -> None:
        self._progress = progress
        self._done, self._total = 0, of_models + 2
        progress(self._done, self._total)

    def add(self, steps: int) -> None:
        """Have more to do."""
        self._total += steps

    def take(self) -> None:
        """Have done one."""
        self._done += 1
        self._progress(self._done, self._total)

    @contextmanager
    def several(self, steps: int) -> Iterator[Told]:
        """Yield what is told of each of so many steps but the last; what nobody tells of is taken at the end."""
        end = self._done + steps

        def told() -> None:
            if self._done < end - 1:
                self.take()

        yield told
        self._done = end - 1
        self.take()


def lines_about(manifest: Manifest) -> list[str]:
    """Return what was published, and what the gate said, for people."""
    facts = manifest.facts
    gate = facts["gate"]
    forced = "published all the same (--force); " if gate["forced"] and gate["outcome"] == Outcome.WORSE else ""
    published = (
        f"published {manifest.version}: no acts yet, {facts['described']:,} products are known by what the catalogue "
        f"says of them, {facts['seconds']:.1f} s"
        if not facts["acts"]
        else f"published {manifest.version}: {facts['acts']:,} acts in {facts['sessions']:,} sessions of "
        f"{facts['customers']:,} customers on {facts['products']:,} products, {facts['seconds']:.1f} s"
    )
    return [published, f"gate: {forced}{gate['line']}", *facts["notes"]]


def _fitted(model: Model, log: SessionLog, told: Told) -> list[str]:
    """Fit a model; return what was done without."""
    if not isinstance(model, Hybrid):
        model.fit(log)
        return []
    try:
        model.fit(log, told)
    except MissingLibraryError as error:
        model.fit_sources(log)
        return [f"without trees, near sessions decide and the other sources fill up: {error}"]
    return []


def check(name: str, model: Model, log: SessionLog) -> None:
    """Ask a fitted model about sessions from all over the log, for every goal.

    Raises `ArtifactError` when an answer is not sane.
    """
    if not log.n_sessions:
        return
    for session in np.unique(np.linspace(0, log.n_sessions - 1, CHECKED_SESSIONS).astype(np.int64)).tolist():
        rows = slice(log.offsets[session], log.offsets[session + 1])
        for goal in Goal:
            query = SessionQuery(log.products[rows], log.event_types[rows], log.times[rows], log.as_of, goal)
            if not _is_sane(model.candidates(query, 20), log.n_products):
                raise ArtifactError(
                    f"{name} gave an answer for goal {goal.word} that cannot be right and was not published: "
                    "please report this"
                )


def _is_sane(candidates: Candidates, n_products: int) -> bool:
    products, scores = candidates.products, candidates.scores
    return (
        len(np.unique(products)) == len(products)
        and bool(np.all(products < n_products))
        and bool(np.all(np.isfinite(scores)) and np.all(scores > 0) and np.all(np.diff(scores) <= 0))
    )
