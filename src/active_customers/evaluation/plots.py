"""Plots as SVG that a page holds in itself: no scripts, no fonts, colours from the page's style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log10
from typing import NamedTuple

WIDTH = 400
"""Units of a plot; small, so that its text can still be read on a telephone."""
COLOURS = 8
"""Classes c0 to c7 that the page gives colours to; lines beyond are dashed."""

_ROW, _LETTER, _LEFT, _RIGHT, _TOP, _BOTTOM = 24, 6.4, 8, 14, 10, 24


class Estimate(NamedTuple):
    """A value with its interval, and what it is called."""

    label: str
    value: float
    low: float
    high: float


def whiskers(estimates: Sequence[Estimate], title: str, *, around_zero: bool = False) -> str:
    """Return estimates as dots with their intervals, one under the other; with a line at 0 when `around_zero`."""
    left = _LEFT + _LETTER * max(len(estimate.label) for estimate in estimates) + 8
    low = min(estimate.low for estimate in estimates)
    high = max(estimate.high for estimate in estimates)
    if around_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    axis = _Axis(low, high, left, WIDTH - _RIGHT)
    bottom = _TOP + _ROW * len(estimates)
    parts = [_vertical(axis, tick, bottom) for tick in axis.ticks()]
    if around_zero:
        parts.append(f'<line class="zero" x1="{axis.at(0):.1f}" x2="{axis.at(0):.1f}" y1="{_TOP}" y2="{bottom}"/>')
    for place, estimate in enumerate(estimates):
        parts.append(_whisker(axis, estimate, _TOP + _ROW * (place + 0.5)))
    return _svg(parts, bottom + _BOTTOM, title)


def curves(lines: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Return one line for each name through its values by (numeric) label, with a legend; labels stand evenly apart."""
    labels = list(next(iter(lines.values())))
    high = max(max(values.values()) for values in lines.values()) or 1.0
    height, left = 200, 44
    scale = _Axis(0.0, high, height, _TOP)
    steps = _Axis(0.0, max(len(labels) - 1, 1), left, WIDTH - _RIGHT)
    parts = [_horizontal(scale, tick, left) for tick in scale.ticks()]
    parts += [
        f'<text x="{steps.at(place):.1f}" y="{height + 18}" text-anchor="middle">{escape(label)}</text>'
        for place, label in enumerate(labels)
    ]
    for number, (name, values) in enumerate(lines.items()):
        colour = f"c{number % COLOURS}" + (" dashed" if number >= COLOURS else "")
        points = " ".join(f"{steps.at(i):.1f},{scale.at(values[label]):.1f}" for i, label in enumerate(labels))
        row = height + 40 + 18 * (number // 2)
        column = left + (number % 2) * (WIDTH - left) / 2
        parts += [
            f'<polyline class="{colour}" points="{points}"/>',
            f'<line class="{colour}" x1="{column}" x2="{column + 16}" y1="{row - 4}" y2="{row - 4}"/>',
            f'<text x="{column + 22}" y="{row}">{escape(name)}</text>',
        ]
    return _svg(parts, height + 34 + 18 * ((len(lines) + 1) // 2), title)


class _Axis:
    """Values between two ends, mapped to places; an axis without extent gets some."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        pad = (high - low) * 0.06 or abs(high) * 0.1 or 0.01
        self.low, self.high = (low if low == 0 else low - pad), high + pad
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        """Return the place of a value."""
        return self._start + (value - self.low) / (self.high - self.low) * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Return about four round values within the ends."""
        raw = (self.high - self.low) / 4
        power = 10 ** floor(log10(raw))
        step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
        first = -floor(-self.low / step)
        return [step * number for number in range(first, floor(self.high / step) + 1)]


def _vertical(axis: _Axis, tick: float, bottom: float) -> str:
    x = f"{axis.at(tick):.1f}"
    label = f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{_number(tick)}</text>'
    return f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}"/>{label}'


def _horizontal(axis: _Axis, tick: float, left: float) -> str:
    y = axis.at(tick)
    label = f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
    return f'<line class="grid" x1="{left}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>{label}'


def _whisker(axis: _Axis, estimate: Estimate, y: float) -> str:
    low, high, value = (f"{axis.at(end):.1f}" for end in (estimate.low, estimate.high, estimate.value))
    said = f"{estimate.label}: {estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"
    return (
        f"<g><title>{escape(said)}</title>"
        f'<text x="{_LEFT}" y="{y + 4}">{escape(estimate.label)}</text>'
        f'<line class="range" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
        f'<circle class="dot" cx="{value}" cy="{y}" r="4"/></g>'
    )


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if value else "0"


def _svg(parts: Sequence[str], height: float, title: str) -> str:
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )
