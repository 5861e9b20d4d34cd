"""The page and its plots: well formed, self-contained, and drawn where the figures are."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from jobs.evaluate import plots
from jobs.evaluate.curves import Curves
from jobs.evaluate.page import to_html
from jobs.evaluate.report import EvaluationReport
from jobs.evaluate.run import evaluate
from jobs.evaluate.tables import sections

from .labelled import SPEC
from .test_run import EVERYTHING, build_world

SVG = "{http://www.w3.org/2000/svg}"
CURVES = Curves(
    roc=((0.0, 0.0), (0.1, 0.5), (1.0, 1.0)),
    risk_generator=((0.5, 0.0), (1.0, 0.4)),
    risk_family=((1.0, 0.2),),
    llr_generated=(-1.0, 2.0, 3.0),
    llr_camera=(-3.0, 0.0),
)


class Balance(HTMLParser):
    """Raises where a tag is closed that was not the last one opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        return None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    world = build_world(14.0)
    for maker in ("alpha", "beta"):
        world.add(maker, "both <at> once", clips=3)
    world.clips = [
        type(clip)(*(clip.name, clip.path, clip.label, clip.generator, clip.family, clip.source, "page", clip.sha256))
        if clip.source == "both <at> once"
        else clip
        for clip in world.clips
    ]
    grid = {"x264-crf23": dict(world.evidence), "x265-crf28-x0.5": dict(world.evidence)}
    return evaluate(world.manifest(), world.gathered(), spec_id=SPEC, grid=grid, options=EVERYTHING)


def test_the_page_is_well_formed_and_fetches_nothing(report: EvaluationReport) -> None:
    page = to_html(report)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 5
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    assert "<script" not in page
    assert not re.search(r"(src|href)=", page)


def test_the_page_has_every_table_of_the_markdown(report: EvaluationReport) -> None:
    page, markdown = to_html(report), report.to_markdown()
    titles = [section.title for section in sections(report)]
    assert {"Figures", "Nulls, same folds", "Generators left out", "Codecs and scales"} <= set(titles)
    assert "Side by side, from a few examples" in titles
    for title in titles[1:]:
        assert f"<h2>{title}</h2>" in page
        assert f"## {title}" in markdown
    assert f"{report.figures['auc']:.3f}" in page
    assert "What each figure means" in page


def test_names_cannot_put_markup_into_the_page() -> None:
    drawn = plots.confusion_plot({"<b>": {"<b>": 2, "a&b": 1}})
    ElementTree.fromstring(drawn)
    assert "<b>" not in drawn
    assert "a&amp;b" in drawn


def lines_of(drawing: str) -> list[list[tuple[float, float]]]:
    found = []
    for line in ElementTree.fromstring(drawing).iter(f"{SVG}polyline"):
        found.append([(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())])
    return found


def test_a_rate_of_one_in_ten_lies_two_thirds_along_the_logarithmic_axis() -> None:
    _, curve = lines_of(plots.roc_plot(CURVES))
    width, height = plots.WIDTH - plots.LEFT - plots.RIGHT, plots.HEIGHT - plots.TOP - plots.BOTTOM
    assert curve[1] == pytest.approx((plots.LEFT + width * 2 / 3, plots.TOP + height / 2), abs=0.1)
    assert curve[-1] == pytest.approx((plots.LEFT + width, plots.TOP), abs=0.1)


def test_the_share_of_clips_above_a_likelihood_ratio_falls_from_one_to_nothing() -> None:
    generated, camera = lines_of(plots.llr_plot(CURVES))[1:]
    bottom = plots.HEIGHT - plots.BOTTOM
    for steps in (generated, camera):
        heights = [y for _, y in steps]
        assert heights == sorted(heights)  # downwards on the page
        assert (heights[0], heights[-1]) == (plots.TOP, bottom)
    assert generated[1][1] == pytest.approx(plots.TOP + (bottom - plots.TOP) / 3, abs=0.1)


def test_nothing_to_draw_draws_nothing() -> None:
    empty = Curves()
    assert (plots.roc_plot(empty), plots.risk_plot(empty), plots.llr_plot(empty)) == ("", "", "")
    assert (plots.grid_plot([]), plots.confusion_plot({})) == ("", "")
