"""The report as a page."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from tests.evaluation.made import CART, VIEW, events

from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.evaluation.page import page
from active_customers.evaluation.plots import Estimate, curves, whiskers
from active_customers.evaluation.rolling import Folds

VOID = {"meta", "br", "line", "circle", "polyline"}


def drawn(figure):
    return ET.fromstring(figure)  # noqa: S314 - our own


class Balanced(HTMLParser):
    """Collects tags and refuses those that do not close."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes, self.texts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def parsed(text):
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def report():
    rows = [
        (f"c{i % 9}", str(i), (i * p) % 11, i * 60 + p, CART if p % 3 == 2 else VIEW)
        for i in range(60)
        for p in range(6)
    ]
    models = ("popularity", "item_knn", "stan")
    folds = Folds(2, targets="cart_add")
    request = EvaluationRequest((events(*rows),), None, models, "rolling", k=5, folds=folds)
    return evaluate(request).as_dict()


def test_every_figure_with_its_interval_and_every_difference_is_on_the_page(report):
    text = page(report)
    parsed(text)
    for name, found in report["models"].items():
        assert name in text
        for measure in ("hr", "recall", "precision", "mrr", "map", "ndcg"):
            low, high = found[f"{measure}_interval"]
            assert f"{found[measure]:.4f}" in text
            assert f"{low:.4f} to {high:.4f}" in text
    for found in report["comparisons"]:
        assert f"{found['mrr']['difference']:+.4f}" in text
        assert f"{found['mrr']['folds_agreeing']} of 2 folds agree" in text


def test_the_page_loads_nothing_and_runs_nothing(report):
    parser = parsed(page(report))
    assert not {"script", "link", "img", "iframe", "image", "use"} & set(parser.seen)
    assert not {"src", "href", "srcset", "onload", "onclick"} & {name for name, _ in parser.attributes}
    assert "url(" not in page(report)
    assert "@import" not in page(report)
    assert ("name", "viewport") in parser.attributes


def test_names_are_text_on_the_page_whatever_they_hold(report):
    nasty = '<script>alert("x")</script>&'
    changed = report | {
        "protocol": nasty,
        "models": {nasty: report["models"]["stan"]},
        "comparisons": [report["comparisons"][0] | {"model": nasty, "against": nasty}],
        "data": report["data"]
        | {"train_files": [{"name": nasty, "sha256": nasty, "rows": 1}], "targets": nasty, "repeats": nasty},
    }
    parser = parsed(page(changed))
    assert "script" not in parser.seen
    assert sum(nasty in text for text in parser.texts) > 5


def test_one_model_alone_has_nothing_to_be_compared_with(report):
    alone = report | {"models": {"stan": report["models"]["stan"]}, "comparisons": []}
    assert "Against" not in page(alone)


def test_a_plot_shows_each_estimate_where_it_belongs():
    figure = whiskers([Estimate("low", 0.1, 0.05, 0.15), Estimate("high", 0.3, 0.2, 0.4)], "HR")
    tree = drawn(figure)
    first, second = (float(dot.get("cx")) for dot in tree.iter("circle"))
    ranges = [line for line in tree.iter("line") if line.get("class") == "range"]
    assert first < second
    assert float(ranges[0].get("x2")) < float(ranges[1].get("x1"))
    assert float(ranges[1].get("x2")) - float(ranges[1].get("x1")) == pytest.approx(
        2 * (float(ranges[0].get("x2")) - float(ranges[0].get("x1"))), abs=0.5
    )


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, -0.2, 1e-9])
def test_a_plot_of_one_value_without_width_can_be_drawn(value):
    figure = whiskers([Estimate("a", value, value, value)], "HR", around_zero=True)
    places = [float(number) for number in re.findall(r'(?:cx|x1|x2)="([^"]+)"', figure)]
    assert all(0 <= place <= 400 for place in places)


def test_curves_rise_with_their_values_and_can_be_all_zero():
    tree = drawn(curves({"a": {"1": 0.1, "5": 0.3}, "b": {"1": 0.0, "5": 0.0}}, "HR"))
    heights = [[float(point.split(",")[1]) for point in line.get("points").split()] for line in tree.iter("polyline")]
    assert heights[0][0] > heights[0][1]
    assert heights[1][0] == heights[1][1] > heights[0][0]
    drawn(curves({"a": {"1": 0.0}}, "HR"))
