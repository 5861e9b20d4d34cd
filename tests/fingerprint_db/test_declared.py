"""Habits of generators as likelihoods: the arithmetic against a slow reference, abstention, and what ships."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint_db.catalogue import load_catalogue
from fingerprint_db.catalogue.loader import Catalogue, parse_catalogue
from fingerprint_db.declared import SIGNS, Declaration, Statistics, encoder_sign, learn, shipped_statistics
from fingerprint_db.declared_fits import (
    BACKGROUND_WEIGHT,
    CAMERA_ODDS,
    CATALOGUE_WEIGHT,
    UNKNOWN,
    UNKNOWN_ODDS,
    Scorer,
)

FAMILY = """
[[family]]
slug = "alpha-vae"
name = "Alpha's"
vae_class = "AutoencoderKL"
kind = "generator"
tag = "confirmed"
sources = ["page A"]
"""
ROWS = """
[[generator]]
slug = "alpha"
name = "Alpha"
maker = "A"
kind = "generator"
family = "alpha-vae"
native_sizes = [[832, 480]]
fps = [16]
frame_counts = [81]
frame_rule = "4k+1"
tag = "confirmed"
sources = ["page A"]

[[generator]]
slug = "beta"
name = "Beta"
maker = "B"
kind = "generator"
family = "alpha-vae"
tag = "confirmed"
sources = ["page B"]
"""
X264 = "x264 - core 164 r1 - H.264/MPEG-4 AVC codec - options: cabac=1 crf=23.0"
EXAMPLES = [
    ("alpha", "page one", {"size": "832x480", "rate": "16.0", "frames": "81", "encoder": "x264 core 164"}),
    ("alpha", "page one", {"size": "832x480", "rate": "16.0", "frames": "33", "encoder": "x264 core 164"}),
    ("alpha", "page two", {"size": "640x360", "rate": "16.0", "encoder": "x264 core 159"}),
    ("beta", "page two", {"size": "512x512", "rate": "8.0", "frames": "16", "encoder": "x264 core 159"}),
    ("camera", "phone", {"size": "1920x1080", "rate": "30.0", "frames": "300", "encoder": "no signature"}),
    ("camera", "street", {"size": "832x480", "rate": "25.0", "frames": "250", "encoder": "x264 core 164"}),
]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return parse_catalogue(FAMILY, ROWS)


@pytest.fixture(scope="module")
def scorer(catalogue: Catalogue) -> Scorer:
    return Scorer(learn(EXAMPLES), catalogue)


def slow_likelihood(name: str, sign: str, value: str) -> float:
    """P(value | class) written out from the definition, over the six examples."""

    def shares(of: str) -> list[float]:
        by_source: dict[str, list[str]] = {}
        for label, source, signs in EXAMPLES:
            if label == of and sign in signs:
                by_source.setdefault(source, []).append(signs[sign])
        return [sum(one == value for one in shown) / len(shown) for shown in by_source.values()]

    classes = [of for of in ("alpha", "beta", "camera") if shares(of)]
    values = {signs[sign] for _, _, signs in EXAMPLES if sign in signs}
    pooled = sum(sum(shares(of)) / len(shares(of)) for of in classes)
    background = (pooled + 0.5) / (len(classes) + 0.5 * (max(len(values), 10) + 1))
    stated = None
    if name == "alpha":
        stated = {
            "size": {"832x480": 1.0, "480x832": 1.0}.get(value, 0.0),
            "rate": float(value == "16.0"),
            "frames": 0.7 * (value == "81") + 0.3 * (int(value) % 4 == 1) / 40 if sign == "frames" else 0.0,
            "encoder": None,
        }[sign]
    top = sum(shares(name)) + BACKGROUND_WEIGHT * background
    below = len(shares(name)) + BACKGROUND_WEIGHT
    if stated is not None:
        top, below = top + CATALOGUE_WEIGHT * stated, below + CATALOGUE_WEIGHT
    return top / below


@pytest.mark.parametrize(
    "signs",
    [
        {"size": "832x480", "rate": "16.0", "frames": "81", "encoder": "x264 core 164"},
        {"size": "480x832", "rate": "16.0", "frames": "33"},
        {"size": "512x512", "rate": "8.0", "encoder": "x264 core 159"},
        {"size": "1x1", "rate": "0.1", "frames": "7", "encoder": "never seen"},
        {},
    ],
)
def test_posteriors_are_those_of_the_definition(scorer: Scorer, signs: Mapping[str, str]) -> None:
    weights = {
        name: odds * math.prod(slow_likelihood(name, sign, value) for sign, value in signs.items())
        for name, odds in (("alpha", 1.0), ("beta", 1.0), ("camera", CAMERA_ODDS), (UNKNOWN, UNKNOWN_ODDS))
    }
    for fit in scorer.fits(signs):
        assert fit.posterior == pytest.approx(weights[fit.generator] / sum(weights.values()))


def test_what_the_catalogue_states_names_a_generator_that_no_clip_showed(catalogue: Catalogue) -> None:
    scorer = Scorer(learn(EXAMPLES[3:]), catalogue)
    first = scorer.fits({"size": "832x480", "rate": "16.0", "frames": "81"})[0]
    assert (first.generator, first.family) == ("alpha", "alpha-vae")
    assert first.llr > 3


def test_one_source_counts_one_however_many_clips_it_has(catalogue: Catalogue) -> None:
    many = [*EXAMPLES, *[EXAMPLES[0]] * 50]
    one, other = Scorer(learn(EXAMPLES), catalogue), Scorer(learn(many), catalogue)
    signs = {"size": "832x480", "rate": "16.0"}
    assert [fit.posterior for fit in one.fits(signs)] == pytest.approx([fit.posterior for fit in other.fits(signs)])


def test_a_camera_is_the_answer_where_the_signs_say_nothing(scorer: Scorer) -> None:
    assert scorer.fits({})[0].generator == "camera"
    assert scorer.fits({"size": "1920x1080", "rate": "30.0", "encoder": "no signature"})[0].generator == "camera"


def test_each_sign_says_how_often_it_is_seen_and_what_the_catalogue_states(scorer: Scorer) -> None:
    signs = {one.sign: one for one in scorer.signs_of("alpha", {"size": "832x480", "rate": "16.0", "frames": "80"})}
    assert (signs["size"].share, signs["size"].camera_share, signs["size"].catalogue) == (0.5, 0.5, "fits")
    assert (signs["rate"].share, signs["rate"].camera_share) == (1.0, 0.0)
    assert signs["frames"].catalogue == "does not fit"
    assert signs["rate"].llr == pytest.approx(
        math.log(slow_likelihood("alpha", "rate", "16.0") / slow_likelihood("camera", "rate", "16.0"))
    )
    assert scorer.signs_of("beta", {"encoder": "x264 core 159"})[0].catalogue == "says nothing"


def test_a_family_has_the_posteriors_of_its_generators(scorer: Scorer) -> None:
    fits = scorer.fits({"size": "832x480", "rate": "16.0"})
    expected = sum(fit.posterior for fit in fits if fit.generator in ("alpha", "beta"))
    assert scorer.families(fits) == [("alpha-vae", pytest.approx(expected))]


@given(
    st.dictionaries(st.sampled_from(("rate", "frames")), st.integers(1, 400).map(str), max_size=2),
    st.sampled_from(["832x480", "99999x1", "16x16"]),
    st.text(max_size=20),
)
def test_posteriors_add_up_to_one_and_are_never_nothing(signs: dict[str, str], size: str, encoder: str) -> None:
    fits = Scorer(learn(EXAMPLES), parse_catalogue(FAMILY, ROWS)).fits({**signs, "size": size, "encoder": encoder})
    assert sum(fit.posterior for fit in fits) == pytest.approx(1)
    assert all(fit.posterior > 0 and math.isfinite(fit.llr) for fit in fits)


def test_signs_are_what_survives_a_copy_of_the_stream() -> None:
    told = {"encoder_signature": X264, "usual_rate": "24", "encoder": "Lavf62", "edits": "2 s from 1024"}
    assert Declaration(1280, 720, 22.9, 0, told=told).signs() == {
        "size": "1280x720",
        "rate": "24.0",
        "encoder": "x264 core 164",
    }
    assert Declaration(0, 0, 0.0, 49, told={"usual_rate": "nan"}).signs() == {
        "frames": "49",
        "encoder": "no signature",
    }


def test_an_encoder_whose_settings_were_removed_is_another_sign() -> None:
    assert encoder_sign(X264) == "x264 core 164"
    assert encoder_sign("x264 - core 155 r2901") == "x264 core 155, settings removed"
    assert encoder_sign("Lavc58.35.100") == "Lavc58.35.10"
    assert encoder_sign("") == "no signature"


def test_statistics_come_back_from_json_as_they_went(scorer: Scorer) -> None:
    text = json.dumps(scorer.statistics.to_json())
    again = Statistics.from_json(json.loads(text))
    assert again.to_json() == scorer.statistics.to_json()
    with pytest.raises(ValueError, match="format"):
        Statistics.from_json({"format": 2})


def test_what_ships_names_generators_of_the_catalogue_and_holds_no_file_name() -> None:
    shipped = shipped_statistics()
    known = load_catalogue().generators
    assert set(shipped.habits) - {"camera"} <= set(known)
    assert 0.5 < shipped.speak_from < 1
    assert shipped.provenance["sources"] > 50
    for habits in shipped.habits.values():
        assert set(habits.shares) <= set(SIGNS)
        for sign, values in habits.shares.items():
            assert sum(values.values()) == pytest.approx(habits.seen[sign], abs=1e-4)
            assert not [value for value in values if "." in value and value.endswith(("mp4", "webm", "gif"))]


def test_what_ships_knows_an_untouched_download_and_keeps_quiet_about_a_phone() -> None:
    scorer = Scorer(shipped_statistics())
    download = scorer.fits({"size": "720x480", "rate": "8.0", "frames": "49", "encoder": "x264 core 159"})
    assert download[0].generator == "cogvideox"
    assert download[0].posterior > scorer.statistics.speak_from
    phone = scorer.fits({"size": "1920x1080", "rate": "30.0", "frames": "412", "encoder": "no signature"})
    assert phone[0].generator in ("camera", UNKNOWN)
