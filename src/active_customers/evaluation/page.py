"""The result of an evaluation as one HTML page that needs nothing else: plots, and every figure with its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from active_customers.evaluation.plots import Estimate, curves, whiskers

NAMES: Mapping[str, str] = {
    "hr": "HR",
    "recall": "Recall",
    "recall_capped": "Recall, capped",
    "precision": "Precision",
    "mrr": "MRR",
    "map": "MAP",
    "ndcg": "NDCG",
}
"""What the measures are called, in their order on the page."""

_BEYOND: Mapping[str, str] = {
    "coverage": "Coverage",
    "gini": "Gini",
    "popularity": "Popularity shown",
    "popularity_of_targets": "Popularity of targets",
    "popularity_lift": "Popularity lift",
    "novelty": "Novelty, bits",
    "diversity": "Diversity",
}

_SLICES: Mapping[str, str] = {
    "acts_shown": "By acts shown",
    "target_popularity": "By popularity of what was right (head: the top 5 % of products, middle: to 20 %)",
    "target_in_session": "By whether the question showed it already",
}

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6878; --line: #d9dee6; --paper: #ffffff; --card: #f5f7fa;
  --mark: #2459c9; --good: #14743a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf2; --soft: #a3adbb; --line: #38414f; --paper: #12161c;
  --card: #1b212a; --mark: #7fa8ff; --good: #6fd598; --bad: #ff8f86; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem 1rem 3rem; max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p, li { max-width: 46rem; }
.note { color: var(--soft); font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .5rem; margin: 0; }
.facts div { background: var(--card); border-radius: .5rem; padding: .5rem .75rem; }
.facts dt { color: var(--soft); font-size: .8rem; } .facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(25rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--card); border-radius: .5rem; padding: .6rem .75rem; max-width: 34rem; }
figcaption { font-weight: 600; font-size: .9rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.grid { stroke: var(--line); } .zero { stroke: var(--soft); stroke-dasharray: 3 3; }
.range { stroke: var(--mark); stroke-width: 2.5; } .dot { fill: var(--mark); }
polyline, line[class^="c"] { fill: none; stroke-width: 2.2; }
.dashed { stroke-dasharray: 5 3; }
.c0 { stroke: #2f6fde; } .c1 { stroke: #d9730d; } .c2 { stroke: #2e9e5b; } .c3 { stroke: #c2408f; }
.c4 { stroke: #8a63d2; } .c5 { stroke: #a8842c; } .c6 { stroke: #1c9aa8; } .c7 { stroke: #d64545; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
small { color: var(--soft); display: block; } .best { font-weight: 700; }
.more { color: var(--good); } .less { color: var(--bad); }
"""


def page(report: Mapping[str, Any]) -> str:
    """Return the page of a report (`Report.as_dict`). Every text of it is escaped; nothing is loaded from elsewhere."""
    title, models = f"Evaluation, {report['protocol']}", ", ".join(report["models"])
    tables = (_figures, _comparisons, _slices, _beyond, _folds)
    static = "".join(section(report) for section in tables)
    body = f"{_facts(report)}{static}{_live(report, tables)}{_files(report)}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1><p>{escape(models)}</p>{body}</body></html>\n"
    )


def _live(report: Mapping[str, Any], tables: Iterable[Callable[[Mapping[str, Any]], str]]) -> str:
    """Return the same tables for what learned the test part as it happened, apart from those of what did not."""
    if "live" not in report:
        return ""
    known = report["data"]["live"]["train_acts_after_first_question"]
    about = (
        "Everything above is static: fitted once, with nothing learned afterwards. What follows answered the same "
        "questions beside a live index that learned each act of the test part as it happened; a question knew the acts "
        "of others before it, and none of its own customer but what its session had shown."
    )
    overlap = f" {known:,} acts of the training part are not older than the first question; both know them."
    body = "".join(section({**report, **report["live"]}) for section in tables)
    return f"<h1>Live</h1>{_note(about + (overlap if known else ''))}{body}"


def _facts(report: Mapping[str, Any]) -> str:
    data = report["data"]
    shown = {
        "Protocol": report["protocol"],
        "Length of lists": report["k"],
        "Questions": f"{data['n_questions']:,}",
        "Repeats": data["repeats"],
        "Fitted on": data.get("fitted_on"),
        "Targets": data.get("targets"),
        "Window, days": data.get("horizon_days"),
        "Products": f"{data['n_products']:,}",
        "Sessions learned from": f"{data['n_train_sessions']:,}",
        "Targets never seen in training": f"{data['n_unseen_targets']:,}",
        "Test part asked": f"{data['looks']:,} time{'' if data['looks'] == 1 else 's'}" if "looks" in data else None,
    }
    cells = (f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>" for name, value in shown.items() if value)
    return f'<dl class="facts">{"".join(cells)}</dl>'


def _figures(report: Mapping[str, Any]) -> str:
    models, k = report["models"], report["k"]
    measures = [name for name in NAMES if name in next(iter(models.values()))]
    plots = [
        whiskers(
            [Estimate(model, found[name], *found[f"{name}_interval"]) for model, found in models.items()],
            f"{NAMES[name]}@{k}",
        )
        for name in measures
        if name in ("hr", "mrr", "recall")
    ]
    plots.append(curves({model: found["hr_at"] for model, found in models.items()}, "HR by length of the list"))
    best = {name: max(found[name] for found in models.values()) for name in measures}
    rows = [
        [
            escape(model),
            *(
                _interval(found[name], found[f"{name}_interval"], is_best=found[name] == best[name])
                for name in measures
            ),
            f"{found['us_per_prediction']:,.0f}",
            f"{found['fit_seconds']:,.1f}",
        ]
        for model, found in models.items()
    ]
    heads = ["Model", *(f"{NAMES[name]}@{k}" for name in measures), "µs a prediction", "Fit, s"]
    note = "Intervals are 95 %, by bootstrap over whole sessions or customers, since their questions hang together."
    return (
        f'<h2>Accuracy</h2><div class="plots">{"".join(plots)}</div><h3>Figures</h3>{_table(heads, rows)}{_note(note)}'
    )


def _comparisons(report: Mapping[str, Any]) -> str:
    found = report["comparisons"]
    if not found:
        return ""
    against, k = found[0]["against"], report["k"]
    measures = [name for name in NAMES if name in found[0]]
    plots = [
        whiskers(
            [Estimate(row["model"], row[name]["difference"], *row[name]["interval"]) for row in found],
            f"{NAMES[name]}@{k} less that of {against}",
            around_zero=True,
        )
        for name in measures
        if name in ("hr", "mrr", "recall")
    ]
    n_folds = len(report["data"].get("folds", ()))
    heads = ["Model", *(f"{NAMES[name]}@{k}" for name in measures)]
    rows = [[escape(row["model"]), *(_difference(row[name], n_folds) for name in measures)] for row in found]
    note = (
        "Both models answered the same questions: intervals are 95 % of a paired bootstrap over whole sessions or "
        "customers; coloured where they leave out 0. p is that of a sign-flip test, corrected for the number of models "
        "(Holm). What it detects is the true difference that a test part of this size finds four times in five."
    )
    return (
        f'<h2>Against {escape(against)}</h2><div class="plots">{"".join(plots)}</div><h3>Differences</h3>'
        f"{_table(heads, rows)}{_note(note)}"
    )


def _difference(found: Mapping[str, Any], n_folds: int) -> str:
    """Return a difference with its interval, coloured where that leaves out 0."""
    sign = "" if not found["excludes_zero"] else "more" if found["difference"] > 0 else "less"
    agreeing = f"<small>{found['folds_agreeing']} of {n_folds} folds agree</small>" if n_folds > 1 else ""
    return (
        f'<span class="{sign}">{_interval(found["difference"], found["interval"], signed=True)}</span>'
        f"<small>p {found['p_holm']:.4f}</small><small>detects {found['smallest_detectable']:.4f}</small>{agreeing}"
    )


def _slices(report: Mapping[str, Any]) -> str:
    models = report["models"]
    parts = []
    for name, title in _SLICES.items():
        first = next(iter(models.values()))["slices"][name]
        key = "hr" if name == "acts_shown" else "found"
        count = "questions" if name == "acts_shown" else "targets"
        heads = [
            "Model",
            *(f"{escape(label)}<small>{values[count]:,} {count}</small>" for label, values in first.items()),
        ]
        rows = [
            [escape(model), *(f"{found['slices'][name][label][key]:.4f}" for label in first)]
            for model, found in models.items()
        ]
        parts.append(f"<h3>{title}</h3>{_table(heads, rows)}")
    note = f"By acts shown: HR@{report['k']}. Else: the share of what was right that stands in the lists."
    return f"<h2>Where it is found</h2>{''.join(parts)}{_note(note)}"


def _beyond(report: Mapping[str, Any]) -> str:
    rows = [
        [escape(model), *(f"{found['beyond'][name]:.3f}" for name in _BEYOND)]
        for model, found in report["models"].items()
    ]
    note = (
        "Popularity is the share of the catalogue that a product is at least as popular as; lift is that of what is "
        "shown by that of what was right. Novelty is the mean of -log2 of a product's share of all acts. Diversity is "
        "the mean of 1 - cosine within a list, by the sessions that two products share. Gini is 0 where all products "
        "are shown alike."
    )
    return f"<h2>Beyond accuracy</h2>{_table(['Model', *_BEYOND.values()], rows)}{_note(note)}"


def _folds(report: Mapping[str, Any]) -> str:
    folds = report["data"].get("folds", ())
    if len(folds) < 2:
        return ""
    heads = [
        "Model",
        *(f"{escape(fold['fitted_before'])}<small>{fold['questions']:,} questions</small>" for fold in folds),
    ]
    rows = [
        [escape(model), *(f"{fold['hr']:.4f}<small>MRR {fold['mrr']:.4f}</small>" for fold in found["folds"])]
        for model, found in report["models"].items()
    ]
    note = f"HR@{report['k']}; fitted on all before the time above."
    return f"<h2>Fold by fold</h2>{_table(heads, rows)}{_note(note)}"


def _files(report: Mapping[str, Any]) -> str:
    data = report["data"]
    named = [("learned from", file) for file in data["train_files"]] + [("asked", file) for file in data["test_files"]]
    rows = [
        [escape(str(file.get("name", "in memory"))), use, f"{file['rows']:,}", escape(str(file.get("sha256", "")))]
        for use, file in named
    ]
    return f"<h2>Data</h2>{_table(['File', 'Use', 'Rows', 'SHA-256'], rows)}"


def _interval(value: float, interval: Sequence[float], *, is_best: bool = False, signed: bool = False) -> str:
    form = "+.4f" if signed else ".4f"
    shown = f'<span class="best">{value:{form}}</span>' if is_best else f"{value:{form}}"
    return f"{shown}<small>{interval[0]:{form}} to {interval[1]:{form}}</small>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of cells that are HTML already; it scrolls by itself where it is too wide."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
