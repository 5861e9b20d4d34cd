"""The whole evaluation on synthetic vectors with the real snapshot builder and matcher, where the truth is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fingerprint_db.build import build_snapshot
from fingerprint_db.signature import SignatureRecord
from jobs.evaluate.chain import parse_chain
from jobs.evaluate.gather import Evidence, Gathered
from jobs.evaluate.grid import grid_chains
from jobs.evaluate.judging import Known
from jobs.evaluate.manifest import Label, LeftOut
from jobs.evaluate.report import EvaluationReport
from jobs.evaluate.run import EvaluationOptions, evaluate

from .labelled import SPEC, World, clip

QUICK = EvaluationOptions(max_folds=4, replicates=60, trees=25, open_set=False, shuffled=False)
NULLS = {"metadata", "thumbnail", "hf_energy", "codec_parameters", "majority"}
EVERYTHING = replace(QUICK, open_set=True, shuffled=True)
FAMILIES = {"alpha": "one-vae", "beta": "one-vae", "gamma": "two-vae", "lonely": None}


def build_world(separation: float, *, seed: int = 0, prefix: str = "") -> World:
    """Three generators from four pages each, one generator from a single page, and six cameras."""
    world = World(separation=separation, seed=seed)
    for maker in ("alpha", "beta", "gamma"):
        for page in range(4):
            world.add(maker, f"{prefix}{maker}/{page}", clips=4, family=FAMILIES[maker])
    world.add("lonely", f"{prefix}lonely/0", clips=5)
    for camera in range(6):
        world.add(None, f"{prefix}camera/{camera}", clips=6)
    return world


def known_from(world: World) -> Known:
    """A published snapshot of everything in a world."""
    records = [
        SignatureRecord.from_windows(
            world.evidence[c.name].file.windows,
            sha256=c.sha256,
            generator=c.generator or "camera",
            source=c.source,
            spec_id=SPEC,
            quality=world.evidence[c.name].file.facts.quality(1.0),
        )
        for c in world.clips
    ]
    kinds = {"camera": "camera"}
    return Known(build_snapshot(records, spec_id=SPEC, families=FAMILIES | {"camera": None}, kinds=kinds), records)


@pytest.fixture(scope="module")
def clear() -> EvaluationReport:
    world = build_world(14.0)
    return evaluate(world.manifest(), world.gathered(), spec_id=SPEC, options=EVERYTHING)


def test_makers_that_differ_clearly_are_found_and_named_on_pages_never_seen(clear: EvaluationReport) -> None:
    assert clear.protocol == "leave_one_source_out"
    assert clear.figures["auc"] > 0.97
    assert clear.figures["generator_top1_nameable"] > 0.95
    assert clear.figures["generator_named"] > 0.5
    assert clear.figures["generator_right"] > 0.9
    assert clear.figures["family_right"] > 0.9
    assert clear.counts["camera_named"][0] == 0


def test_the_nulls_find_nothing_where_only_the_vectors_differ(clear: EvaluationReport) -> None:
    assert set(clear.null_names) == {*NULLS, "shuffled_labels"}
    for name in clear.null_names:
        assert clear.figures[f"null_{name}_auc"] < 0.75
    assert clear.figures["excess_auc"] > 0.2
    assert clear.figures["excess_top1"] > 0.3


def test_a_generator_with_one_page_cannot_be_named_when_that_page_is_held_out(clear: EvaluationReport) -> None:
    lonely = clear.per_generator["lonely"]
    assert (lonely.n, lonely.sources, lonely.nameable, lonely.right) == (5, 1, 0, 0)
    assert clear.counts["unknown_named"][1] == 5


def test_makers_that_do_not_differ_are_neither_found_nor_named() -> None:
    world = build_world(0.0, seed=2)
    report = evaluate(world.manifest(), world.gathered(), spec_id=SPEC, options=QUICK)
    assert 0.25 < report.figures["auc"] < 0.7
    assert report.figures["generator_top1"] < 0.5
    assert report.figures["generator_named"] < 0.2
    assert report.figures["excess_auc"] < 0.2


def test_the_json_keeps_its_contract_and_has_no_nan(clear: EvaluationReport) -> None:
    record = json.loads(json.dumps(clear.to_json(), allow_nan=False))
    contract = "n auc tpr_at_fpr family_named family_right generator_named generator_right camera_named nulls"
    assert {*contract.split(), "per_generator", "ci95"} <= set(record)
    assert record["n"] == 89
    assert set(record["tpr_at_fpr"]) == {"0.05", "0.01", "0.001"}
    assert record["tpr_at_fpr"]["0.001"] is None  # 36 camera clips
    assert set(record["nulls"]) == {*NULLS, "shuffled_labels"}
    assert all({"auc", "generator_top1"} <= set(null) for null in record["nulls"].values())
    assert {"n", "sources", "named", "right", "llr_median", "auc"} <= set(record["per_generator"]["alpha"])
    low, high = record["ci95"]["auc"]
    assert low <= record["auc"] <= high
    assert record["sources"] == {"camera": 6, "generated": 13, "processed": 0, "all": 19}


def test_people_get_the_same_figures_as_text_and_as_markdown(clear: EvaluationReport) -> None:
    from rich.console import Console

    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    clear.print(console)
    text, page = console.export_text(), clear.to_markdown()
    for shown in (text, page):
        assert "89 clips judged: 36 camera from 6 sources, 53 generated from 13 sources." in shown
        assert f"{clear.figures['auc']:.3f}" in shown
        assert "gamma" in shown
        assert "36 negatives cannot show a false-positive rate of 0.1%" in shown
        assert "0 of 36 camera clips were given a maker" in shown


def test_equal_inputs_give_equal_reports(clear: EvaluationReport) -> None:
    world = build_world(14.0)
    again = evaluate(world.manifest(), world.gathered(), spec_id=SPEC, options=EVERYTHING)
    assert again.to_json() == clear.to_json()


def test_a_snapshot_that_saw_none_of_the_clips_judges_them_itself() -> None:
    world, other = build_world(14.0), build_world(14.0, prefix="other ")
    known = known_from(other)
    renamed = [replace(record, sha256=f"{i:064x}") for i, record in enumerate(known.records)]
    report = evaluate(
        world.manifest(), world.gathered(), spec_id=SPEC, known=Known(known.snapshot, renamed), options=QUICK
    )
    assert (report.protocol, report.snapshot, report.folds) == ("snapshot", known.snapshot.id, 0)
    assert report.figures["generator_top1"] > 0.9
    assert report.per_generator["lonely"].nameable == 5
    assert any("nulls learned from the other sources" in note for note in report.notes)


def test_clips_that_are_enrolled_turn_auto_to_leaving_sources_out() -> None:
    world = build_world(14.0)
    known = known_from(world)
    report = evaluate(world.manifest(), world.gathered(), spec_id=SPEC, known=known, options=QUICK)
    assert report.protocol == "leave_one_source_out"
    assert report.why == "89 of 89 clips are enrolled in the snapshot itself"


def test_the_snapshot_protocol_leaves_enrolled_clips_out_by_name_and_says_which_sources_it_knew() -> None:
    world = build_world(14.0)
    known = known_from(world)
    enrolled = Known(known.snapshot, known.records[::2])
    options = replace(QUICK, protocol="snapshot")
    report = evaluate(world.manifest(), world.gathered(), spec_id=SPEC, known=enrolled, options=options)
    assert report.n == 44
    assert [row.kind for row in report.left_out] == ["enrolled"] * 45
    assert any("come from sources that the snapshot has signatures of" in note for note in report.notes)


def test_an_unknown_generator_is_never_named_rightly_when_generators_are_left_out() -> None:
    world = build_world(14.0)
    options = replace(QUICK, protocol="leave_one_generator_out")
    report = evaluate(world.manifest(), world.gathered(), spec_id=SPEC, options=options)
    assert report.n == 89
    assert report.counts["generator_top1"][0] == 0
    assert report.counts["unknown_named"][1] == 53


def test_unreadable_rows_are_listed_and_count_in_no_figure() -> None:
    world = build_world(14.0)
    evidence = {name: seen for name, seen in world.evidence.items() if name != "3.mp4"}
    lost = LeftOut("3.mp4", "damaged", "no frame could be decoded")
    report = evaluate(world.manifest(), Gathered(evidence, (lost,)), spec_id=SPEC, options=QUICK)
    assert report.n == 88
    assert report.to_json()["left_out"] == [
        {"name": "3.mp4", "kind": "damaged", "message": "no frame could be decoded"}
    ]
    assert "`3.mp4` (damaged): no frame could be decoded" in report.to_markdown()


def test_processed_camera_footage_is_reported_apart() -> None:
    world = build_world(14.0)
    item = clip("p.mp4", Label.PROCESSED, "studio", "some-upscaler")
    world.clips.append(item)
    world.evidence["p.mp4"] = world.evidence["0.mp4"]
    report = evaluate(world.manifest(), world.gathered(), spec_id=SPEC, options=QUICK)
    assert report.clips == {"camera": 36, "generated": 53, "processed": 1}
    assert [row["name"] for row in report.to_json()["processed"]] == ["p.mp4"]
    assert report.counts["generator_named"][1] == 53


def test_a_clip_without_a_window_counts_as_unnamed_and_is_mentioned() -> None:
    world = build_world(14.0)
    seen = world.evidence["0.mp4"]
    world.evidence["0.mp4"] = replace(seen, file=replace(seen.file, windows=(), coverage=0.0, shortfall="too short"))
    report = evaluate(world.manifest(), world.gathered(), spec_id=SPEC, options=QUICK)
    assert report.counts["generator_named"][1] == 53
    assert report.verdicts["generated"]["inconclusive"] >= 1
    assert any("1 clips brought no window" in note for note in report.notes)


def test_a_protocol_that_cannot_run_says_why() -> None:
    world = build_world(14.0)
    with pytest.raises(ValueError, match="no snapshot with signatures"):
        evaluate(world.manifest(), world.gathered(), spec_id=SPEC, options=replace(QUICK, protocol="snapshot"))
    with pytest.raises(ValueError, match="no clip is left"):
        evaluate(world.manifest(), Gathered({}, ()), spec_id=SPEC, known=known_from(world), options=QUICK)


def test_the_order_of_answers_is_judged_whether_or_not_a_name_was_given(clear: EvaluationReport) -> None:
    assert clear.figures["generator_ranked_nameable"] > 0.95
    assert clear.figures["family_ranked"] > 0.95
    assert clear.figures["excess_family"] > 0.2


def test_labels_dealt_by_lot_teach_nothing(clear: EvaluationReport) -> None:
    assert 0.25 < clear.figures["null_shuffled_labels_auc"] < 0.75
    assert clear.figures["null_shuffled_labels_top1"] < 0.55


def test_what_is_most_frequent_is_a_null_of_its_own(clear: EvaluationReport) -> None:
    assert clear.figures["null_majority_auc"] == 0.5  # it tells nothing of who was filmed
    # alpha and beta share a family: 32 of the 48 clips with one, and a fold holds that out nowhere.
    assert clear.figures["null_majority_family"] == pytest.approx(32 / 48)


def test_leaving_generators_out_finds_them_and_never_names_them(clear: EvaluationReport) -> None:
    open_set = clear.open_set
    assert open_set is not None
    assert open_set.auc > 0.9
    assert open_set.synthetic[1] == 53
    assert open_set.named[1] == 53
    # The only names that are given are those of the same family's other maker, which is all that is left of it.
    assert open_set.named[0] <= open_set.family_named[0] == open_set.family_right[0]
    assert open_set.camera_named == (0, 36)
    assert "unknown generators' clips given a name (must be 0)" in clear.to_markdown()


def test_the_curves_end_where_everything_is_answered(clear: EvaluationReport) -> None:
    curves = clear.curves
    coverage, risk = curves.risk_generator[-1]
    assert coverage == 1.0
    assert risk == pytest.approx(1 - clear.figures["generator_ranked"])
    assert curves.risk_family[-1][1] == pytest.approx(1 - clear.figures["family_ranked"])
    assert curves.coverage_family > 0.9
    # Five of the 53 are of a maker that nobody else published: with them every answer is wrong, and they count.
    assert 0.5 < curves.coverage_generator <= 1.0
    assert (curves.roc[0], curves.roc[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert sum(sum(row.values()) for row in curves.confusion.values()) == 89
    assert curves.confusion["gamma"]["gamma"] >= 15
    assert set(curves.confusion["lonely"]) <= {"alpha", "beta", "gamma", "camera"}


def blurred(world: World, strength: float) -> dict[str, Evidence]:
    """The same clips as through a chain that takes this share of what their windows say, without the first clip."""
    rng = np.random.default_rng(1)
    found = {}
    for name, seen in list(world.evidence.items())[1:]:
        windows = tuple(
            replace(w, decoder=fade(w.decoder, strength, rng), texture=fade(w.texture, strength, rng))
            for w in seen.file.windows
        )
        found[name] = replace(seen, file=replace(seen.file, windows=windows))
    return found


def fade(vector: NDArray[np.float32], strength: float, rng: np.random.Generator) -> NDArray[np.float32]:
    return ((1 - strength) * vector + strength * rng.normal(size=vector.shape)).astype(np.float32)


def test_a_grid_judges_every_chain_by_what_was_learned_without_it() -> None:
    world = build_world(14.0)
    grid = {"x264-crf23": dict(world.evidence), "x265-crf33": blurred(world, 0.95)}
    options = replace(QUICK, learned=("x264-crf23",))
    report = evaluate(world.manifest(), world.gathered(), spec_id=SPEC, grid=grid, options=options)
    same, worse = report.grid
    assert (same.chain, same.learned, same.n, same.unreadable) == ("x264-crf23", True, 89, 0)
    assert same.figures["auc"] == report.figures["auc"]
    assert same.counts == report.counts
    assert same.hf_energy == pytest.approx(report.figures["null_hf_energy_auc"])
    assert (worse.chain, worse.learned, worse.n, worse.unreadable) == ("x265-crf33", False, 88, 1)
    assert worse.figures["auc"] < same.figures["auc"]
    assert worse.figures["generator_ranked_nameable"] < same.figures["generator_ranked_nameable"]
    assert [cell["chain"] for cell in report.to_json()["grid"]] == ["x264-crf23", "x265-crf33"]
    assert "| x265-crf33 | 88 |" in report.to_markdown()


def test_a_snapshot_judges_a_grid_too() -> None:
    world, other = build_world(14.0), build_world(14.0, prefix="other ")
    known = known_from(other)
    renamed = Known(known.snapshot, [replace(record, sha256=f"{i:064x}") for i, record in enumerate(known.records)])
    grid = {"vp9-crf33": dict(world.evidence)}
    report = evaluate(world.manifest(), world.gathered(), spec_id=SPEC, known=renamed, grid=grid, options=QUICK)
    (cell,) = report.grid
    assert cell.figures["auc"] == report.figures["auc"]


def test_the_default_grid_has_an_encoder_that_nothing_was_learned_from() -> None:
    chains = grid_chains()
    assert len(chains) == len(set(chains)) == 24
    assert {"x264-crf18", "x264-crf33-x0.5", "x265-crf23-x0.75"} <= set(chains)
    assert all(parse_chain(chain) is not None for chain in chains)
