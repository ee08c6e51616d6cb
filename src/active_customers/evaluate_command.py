"""What `active-customers evaluate` does between its flags and what it prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from active_customers.core.clock import Clock
from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.comparison import Comparison
from active_customers.evaluation.contestants import CONTESTANTS
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.evaluation.interactions import Interactions
from active_customers.evaluation.ledger import Ledger, Look
from active_customers.evaluation.page import page
from active_customers.evaluation.protocols import HELD_OUT, LEAVE_ONE_OUT, NEXT_BASKET, NEXT_ITEM, ROLLING
from active_customers.evaluation.report import ModelReport, Report
from active_customers.evaluation.rolling import Folds, checked_targets
from active_customers.importing.described import read_described
from active_customers.importing.interactions import read_held_out, read_interactions
from active_customers.models.patterns import PatternsConfig
from active_customers.models.registry import MODELS
from active_customers.realtime.live_index import LiveIndexConfig
from active_customers.realtime.session_recommender import PATTERNS
from active_customers.terminal import Report as Progress

_WHOLE = (LEAVE_ONE_OUT, ROLLING, NEXT_BASKET)
"""Protocols that split one file themselves."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files that were named; `learned` holds those of --train and --valid."""

    learned: tuple[Path, ...]
    test: Path | None
    events: Path | None
    heldout: Path | None
    preset: str | None
    products: tuple[Path, ...] = ()
    """What is known of products."""


@dataclass(frozen=True, slots=True)
class Options:
    """The flags but those that name files."""

    models: tuple[str, ...]
    configs: Mapping[str, Mapping[str, object]]
    protocol: str | None
    k: int
    loose: bool
    repeats: str
    folds: int
    targets: str
    horizon_days: float | None
    against: str | None
    live: LiveIndexConfig | None
    """Bounds of the live index, where the test part is to be replayed."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the report, the note of this look, the page and the predictions go."""

    report: Path
    ledger: Path
    html: Path | None
    dump: Path | None


def run(files: Files, options: Options, outputs: Outputs, progress: Progress) -> Report:
    """Evaluate and return the report; raises `InvalidValueError` for flags and files that do not go together."""
    _check_outputs(outputs)
    if "content" in options.models and not files.products:
        raise InvalidValueError("model", "content", "it lives by what is known of products: name files by --products")
    protocol = options.protocol or (HELD_OUT if files.heldout else NEXT_ITEM)
    learned, asked = _read(files, protocol)
    request = EvaluationRequest(
        train=learned,
        test=asked,
        models=options.models,
        protocol=protocol,
        k=options.k,
        dump=outputs.dump,
        configs=options.configs,
        loose=options.loose,
        repeats=options.repeats,
        folds=Folds(options.folds, options.horizon_days, checked_targets(options.targets)),
        against=options.against,
        catalogue=read_described(files.products, files.preset) if files.products else None,
        live=options.live,
    )
    Ledger(outputs.ledger).check()
    return evaluate(request, progress)


def check_changed(changed: Sequence[str], options: Options) -> None:
    """Refuse what --set says of models that are not asked about, so that no slip is taken for heeded."""
    asked = {*options.models, *((*MODELS, PATTERNS) if options.live else ())}
    for setting in changed:
        if setting.partition(".")[0] not in asked:
            remedy = f"parameters of models that are asked about can be set: {', '.join(sorted(asked))}"
            raise InvalidValueError("set", setting, remedy)


def _check_outputs(outputs: Outputs) -> None:
    """Refuse files that cannot be written before anything is evaluated for them."""
    for flag, file in (("out", outputs.report), ("html", outputs.html), ("dump", outputs.dump)):
        if file is not None and not file.parent.is_dir():
            raise InvalidValueError(flag, str(file), f"there is no folder {file.parent}: make it first")


def written(report: Report, options: Options, outputs: Outputs, clock: Clock) -> Report:
    """Note the look in the ledger, write the report and the page; return what was written."""
    settings = {
        "k": report.k,
        "parameters": _parameters(options),
        **(
            {"products": [file["sha256"] for file in report.data["product_files"]]}
            if "product_files" in report.data
            else {}
        ),
        **({"folds": len(report.data["folds"])} if "folds" in report.data else {}),
        **{
            name: report.data[name]
            for name in ("repeats", "fitted_on", "targets", "horizon_days", "live")
            if name in report.data
        },
    }
    looks = Ledger(outputs.ledger).add(Look.of(report, settings), clock.now())
    whole = replace(report, data={**report.data, "looks": looks})
    whole.write(outputs.report)
    if outputs.html:
        outputs.html.write_text(page(whole.as_dict()), encoding="utf-8")
    return whole


def _parameters(options: Options) -> dict[str, dict[str, Any]]:
    """Return by model which parameters differ from the defaults, whether a settings file or a flag said so."""
    names = dict.fromkeys((*options.models, *(MODELS if options.live else ())))
    kinds = {name: CONTESTANTS[name].config for name in names} | ({PATTERNS: PatternsConfig} if options.live else {})
    given = {name: kind.model_validate(options.configs.get(name) or {}) for name, kind in kinds.items()}
    differing = {name: config.model_dump(mode="json", exclude_defaults=True) for name, config in given.items()}
    return {name: parameters for name, parameters in differing.items() if parameters}


def lines(report: Report) -> Iterator[str]:
    """Yield what a report says in short, what learned the test part apart from what did not."""
    if report.live:
        yield "static: fitted once, nothing learned afterwards"
    yield from _table(report.models, report.comparisons, report.k)
    if report.live:
        yield "live: the same, and each act of the test part learned as it happened"
        yield from _table(report.live, [report.live_comparison] if report.live_comparison else [], report.k)
        known = report.data["live"]["train_acts_after_first_question"]
        if known:
            yield f"note: {known:,} acts of the training part are not older than the first question; both know them"
    looks = report.data["looks"]
    yield f"test part asked {looks:,} time{'' if looks == 1 else 's'}"


def _table(models: Mapping[str, ModelReport], comparisons: Sequence[Comparison], k: int) -> Iterator[str]:
    for name, figures in models.items():
        low, high = figures.intervals["hr"]
        more = ", ".join(f"{label}@{k} {figures.figures[key]:.4f}" for key, label in _MORE if key in figures.figures)
        yield (
            f"{name}: HR@{k} {figures.hr:.4f} ({low:.4f} to {high:.4f}), {more}, "
            f"coverage {figures.coverage:.2f}, {figures.us_per_prediction:.0f} us a prediction"
        )
    for comparison in comparisons:
        for measure in ("hr", "mrr"):
            yield f"{comparison.model} - {comparison.against}: {_difference(comparison.as_dict()[measure], measure, k)}"


_MORE = (("recall", "recall"), ("precision", "precision"), ("mrr", "MRR"), ("map", "MAP"), ("ndcg", "NDCG"))


def _difference(found: Mapping[str, Any], measure: str, k: int) -> str:
    low, high = found["interval"]
    verdict = "differs" if found["excludes_zero"] else "no difference shown"
    return (
        f"{measure.upper()}@{k} {found['difference']:+.4f} ({low:+.4f} to {high:+.4f}), {verdict}; "
        f"smallest detectable {found['smallest_detectable']:.4f}"
    )


def _read(files: Files, protocol: str) -> tuple[tuple[Interactions, ...], Interactions | None]:
    """Read the files that the protocol needs; refuse those that it has no use for."""
    _check(files, protocol)
    whole = (*files.learned, *([files.events] if files.events else []))
    learned = tuple(read_interactions(path, files.preset) for path in whole)
    if files.heldout:
        return learned, read_held_out(files.heldout)
    return learned, read_interactions(files.test, files.preset) if files.test else None


def _check(files: Files, protocol: str) -> None:
    if (files.heldout is not None) != (protocol == HELD_OUT):
        raise InvalidValueError("heldout", files.heldout, f"protocol {HELD_OUT} and --heldout need each other")
    if files.heldout and files.test:
        raise InvalidValueError("test", files.test, "leave it out: --heldout names what is asked")
    if files.events and (files.learned or protocol not in _WHOLE):
        raise InvalidValueError(
            "events", files.events, f"it is split by --protocol {', '.join(_WHOLE)}; else name --train and --test"
        )
    if not (files.events or files.learned):
        raise InvalidValueError(
            "train", None, "name files to learn from, or --events for a protocol that splits a file"
        )
