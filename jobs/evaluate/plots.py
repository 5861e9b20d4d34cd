"""Plots as self-contained SVG text: no script, no font, no colour that carries meaning alone.

Written by hand, because four small plots do not carry a plotting library into every installation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from jobs.evaluate.curves import TARGET_RISK, Curves, Points
from jobs.evaluate.grid import Cell

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 28, 46
INK, SOFT, FIRST, SECOND = "#1a1a1a", "#c9c9c9", "#0b5cad", "#b3541e"
DASHED = "5 4"
SMALLEST_FPR = 1e-3
MOST_CLASSES = 24  # of a confusion matrix that can still be read


def roc_plot(curves: Curves) -> str:
    """Detection: true-positive rate over the false-positive rate on a logarithmic axis; '' without both classes."""
    if not curves.roc:
        return ""
    ticks = {fpr: math.log10(fpr) for fpr in (1e-3, 1e-2, 1e-1, 1.0)}
    frame = _Frame("Detection: generated against camera", (-3.0, 0.0), (0.0, 1.0))
    frame.axis_x("camera clips that raise an alarm", {place: f"{fpr:g}" for fpr, place in ticks.items()})
    frame.axis_y("generated clips found", {share: f"{share:g}" for share in (0, 0.25, 0.5, 0.75, 1.0)})
    chance = [(math.log10(fpr), fpr) for fpr in (10 ** (-3 + 3 * i / 40) for i in range(41))]
    frame.line(chance, SOFT, dash=DASHED)
    frame.line([(math.log10(max(fpr, SMALLEST_FPR)), tpr) for fpr, tpr in curves.roc], FIRST)
    return frame.svg()


def risk_plot(curves: Curves) -> str:
    """How often a name is wrong when only the surest clips are named; '' when there was nothing to name."""
    if not curves.risk_generator and not curves.risk_family:
        return ""
    frame = _Frame("Naming: how often wrong, the surest first", (0.0, 1.0), (0.0, 1.0))
    share = {value: f"{value:g}" for value in (0, 0.25, 0.5, 0.75, 1.0)}
    frame.axis_x("share of clips named", share)
    frame.axis_y("share of names that are wrong", share)
    frame.line([(0.0, TARGET_RISK), (1.0, TARGET_RISK)], SOFT, dash=DASHED)
    frame.line(list(curves.risk_generator), FIRST)
    frame.line(list(curves.risk_family), SECOND, dash=DASHED)
    frame.legend([("generator", FIRST, ""), ("family", SECOND, DASHED)], down=45)
    return frame.svg()


def llr_plot(curves: Curves) -> str:
    """Tippett plot (Meuwly 2001): share of clips with at least this likelihood ratio; '' without both classes."""
    if not curves.llr_generated or not curves.llr_camera:
        return ""
    values = (*curves.llr_generated, *curves.llr_camera)
    low, high = min(values), max(values)
    pad = max((high - low) * 0.05, 0.1)
    frame = _Frame("Likelihood ratios", (low - pad, high + pad), (0.0, 1.0))
    frame.axis_x("llr (natural log)", {tick: f"{tick:g}" for tick in _round_ticks(low, high)})
    frame.axis_y("clips with at least this llr", {share: f"{share:g}" for share in (0, 0.25, 0.5, 0.75, 1.0)})
    if low <= 0 <= high:
        frame.line([(0.0, 0.0), (0.0, 1.0)], SOFT, dash=DASHED)
    frame.line(_at_least(curves.llr_generated, high + pad), FIRST)
    frame.line(_at_least(curves.llr_camera, high + pad), SECOND, dash=DASHED)
    frame.legend([("generated", FIRST, ""), ("camera", SECOND, DASHED)])
    return frame.svg()


def confusion_plot(confusion: Mapping[str, Mapping[str, int]]) -> str:
    """Who is taken for whom: rows are true, columns the best fit, shaded by a row's shares; the largest classes."""
    rows = sorted(confusion, key=lambda name: (-sum(confusion[name].values()), name))[:MOST_CLASSES]
    if not rows:
        return ""
    answers: dict[str, int] = {}
    for name in rows:
        for answer, count in confusion[name].items():
            answers[answer] = answers.get(answer, 0) + count
    # The same order on both sides, so that what is right lies on the diagonal; then what was said besides.
    besides = sorted((name for name in answers if name not in rows), key=lambda name: (-answers[name], name))
    columns = [*rows, *besides][: MOST_CLASSES + 6]
    cell, left, top = 18, 190, 150
    width, height = left + cell * len(columns) + 90, top + cell * len(rows) + 10
    parts = [_open("Who is taken for whom", width, height)]
    for x, column in enumerate(columns):
        place = f"{left + cell * x + 13},{top - 6}"
        parts.append(f'<text x="0" y="0" transform="translate({place}) rotate(-60)">{escape(column)}</text>')
    for y, row in enumerate(rows):
        total = sum(confusion[row].values())
        parts.append(f'<text x="{left - 6}" y="{top + cell * y + 13}" text-anchor="end">{escape(row)} ({total})</text>')
        for x, column in enumerate(columns):
            count = confusion[row].get(column, 0)
            shade = f'fill="{FIRST}" fill-opacity="{0.1 + 0.9 * count / total:.2f}"' if count else 'fill="none"'
            box = f'x="{left + cell * x}" y="{top + cell * y}" width="{cell}" height="{cell}"'
            title = f"<title>{escape(row)} taken for {escape(column)}: {count} of {total}</title>"
            edge = INK if row == column else SOFT
            parts.append(f'<rect {box} {shade} stroke="{edge}" stroke-width="0.5">{title}</rect>')
            if count:
                ink = "#ffffff" if count / total > 0.45 else INK
                middle = f'x="{left + cell * x + 9}" y="{top + cell * y + 13}"'
                parts.append(f'<text {middle} text-anchor="middle" fill="{ink}" font-size="10">{count}</text>')
    return "".join([*parts, "</svg>"])


def grid_plot(cells: Sequence[Cell]) -> str:
    """AUC of every chain over its CRF, a line for each encoder and scale; '' when no chain has a CRF."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for cell in cells:
        encoder, _, rest = cell.chain.partition("-crf")
        crf, _, more = rest.partition("-")
        auc = cell.figures["auc"]
        if crf.isdigit() and not math.isnan(auc):
            lines.setdefault(f"{encoder} {more}".strip(), []).append((float(crf), auc))
    if not lines:
        return ""
    crfs = sorted({crf for points in lines.values() for crf, _ in points})
    pad = 1.0 if len(crfs) == 1 else (crfs[-1] - crfs[0]) * 0.05
    frame = _Frame("Codecs and scales", (crfs[0] - pad, crfs[-1] + pad), (0.4, 1.0), beside=110)
    frame.axis_x("CRF (not comparable between encoders)", {crf: f"{crf:g}" for crf in crfs})
    frame.axis_y("AUC, generated against camera", {auc: f"{auc:g}" for auc in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)})
    frame.line([(crfs[0] - pad, 0.5), (crfs[-1] + pad, 0.5)], SOFT, dash=DASHED)
    learned = sorted({name.split()[0] for name in lines})
    names = []
    for number, name in enumerate(sorted(lines)):
        colour = (FIRST, SECOND, "#3a7d44", "#7a3e9d")[learned.index(name.split()[0]) % 4]
        dash = ("", "6 4", "2 3")[number % 3]
        frame.line(sorted(lines[name]), colour, dash=dash, marks=True)
        names.append((name, colour, dash))
    frame.legend(names)
    return frame.svg()


class _Frame:
    """A plot's axes and what is drawn between them; x and y are (lowest, highest) shown.

    beside: room at the right for a legend; 0 puts it inside.
    """

    def __init__(self, title: str, x: tuple[float, float], y: tuple[float, float], *, beside: int = 0) -> None:
        self._x, self._y, self._beside = x, y, beside
        self._parts = [
            _open(title, WIDTH + beside, HEIGHT),
            f'<text x="{LEFT}" y="17" font-weight="600">{escape(title)}</text>',
        ]

    def axis_x(self, label: str, ticks: Mapping[float, str]) -> None:
        bottom = HEIGHT - BOTTOM
        for value, text in ticks.items():
            x = self._place(value, 0.0)[0]
            self._parts.append(
                f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{SOFT}" opacity=".5"/>'
            )
            self._parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>')
        middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
        self._parts.append(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(label)}</text>')

    def axis_y(self, label: str, ticks: Mapping[float, str]) -> None:
        for value, text in ticks.items():
            y = self._place(self._x[0], value)[1]
            right = WIDTH - RIGHT
            self._parts.append(
                f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{SOFT}" opacity=".5"/>'
            )
            self._parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        middle = TOP + (HEIGHT - TOP - BOTTOM) / 2
        turned = f'transform="translate(14,{middle}) rotate(-90)" text-anchor="middle"'
        self._parts.append(f"<text {turned}>{escape(label)}</text>")

    def line(
        self,
        points: Points | Sequence[tuple[float, float]],
        colour: str,
        *,
        dash: str = "",
        marks: bool = False,
    ) -> None:
        places = [self._place(x, y) for x, y in points]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        self._parts.append(
            f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"{_dashes(dash)}/>'
        )
        if marks:
            self._parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]

    def legend(self, names: Sequence[tuple[str, str, str]], *, down: int = 0) -> None:
        """names: (text, colour, dashes). down: pixels below the top."""
        for number, (name, colour, dash) in enumerate(names):
            y = TOP + 12 + down + 15 * number
            x = WIDTH if self._beside else WIDTH - RIGHT - 118
            self._parts.append(
                f'<line x1="{x}" y1="{y}" x2="{x + 22}" y2="{y}" stroke="{colour}" stroke-width="2"{_dashes(dash)}/>'
                f'<text x="{x + 28}" y="{y + 4}">{escape(name)}</text>'
            )

    def svg(self) -> str:
        return "".join([*self._parts, "</svg>"])

    def _place(self, x: float, y: float) -> tuple[float, float]:
        across = (min(max(x, self._x[0]), self._x[1]) - self._x[0]) / (self._x[1] - self._x[0])
        up = (min(max(y, self._y[0]), self._y[1]) - self._y[0]) / (self._y[1] - self._y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def _open(title: str, width: int, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">'
        f"<title>{escape(title)}</title>"
    )


def _dashes(pattern: str) -> str:
    return f' stroke-dasharray="{pattern}"' if pattern else ""


def _at_least(values: Sequence[float], end: float) -> list[tuple[float, float]]:
    """Steps of the share of values that are no smaller; ``values`` sorted."""
    total, points = len(values), []
    for number, value in enumerate(values):
        points += [(value, (total - number) / total), (value, (total - number - 1) / total)]
    return [*points, (end, 0.0)]


def _round_ticks(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10(max(high - low, 1e-6)))
    step = next(step * factor for factor in (0.1, 0.2, 0.5, 1.0, 2.0) if (high - low) / (step * factor) <= 8)
    first = math.ceil(low / step)
    return [round(step * k, 10) for k in range(first, math.floor(high / step) + 1)]
