"""Side by side on one page, a few examples each: found where makers differ, chance where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jobs.evaluate.fewshot import FewShot, few_shot_pages
from jobs.evaluate.manifest import Label

from .labelled import World


def play(world: World) -> dict[str, FewShot]:
    return few_shot_pages(world.clips, [world.evidence[clip.name] for clip in world.clips])


def on_pages(world: World) -> World:
    """The page is part of the source's name: ``a|page``."""
    world.clips = [replace(clip, same_page=clip.source.partition("|")[2]) for clip in world.clips]
    return world


def page_world(separation: float, seed: int = 0) -> World:
    world = World(separation=separation, seed=seed)
    for maker in ("alpha", "beta", "gamma", "delta"):
        world.add(maker, f"{maker}|side by side", clips=5)
        world.add(maker, f"{maker}/elsewhere", clips=4)
    world.add("rare", "rare|side by side", clips=2)
    for camera in range(4):
        world.add(None, f"camera/{camera}", clips=4)
    return on_pages(world)


def test_makers_that_differ_are_told_apart_from_a_few_examples() -> None:
    (found,) = play(page_world(14.0)).values()
    assert found.makers == {"alpha": 5, "beta": 5, "delta": 5, "gamma": 5}  # two clips of "rare" are too few
    assert (found.clips, found.chance) == (20, 0.25)
    assert found.macro > 0.9
    assert found.over_chance == pytest.approx(4 * found.macro)
    assert found.ci95[0] < found.hits / found.clips <= found.ci95[1]
    assert set(found.nulls) == {"thumbnail", "hf_energy"}
    assert max(found.nulls.values()) < 0.7


def test_makers_that_do_not_differ_are_told_apart_by_chance() -> None:
    shares = []
    for seed in range(6):
        world = page_world(0.0, seed)
        world.add("alpha", "studio|one page", clips=20)
        deal = iter(["alpha", "beta", "gamma", "delta"] * 5)
        studio = [clip for clip in on_pages(world).clips if clip.source.startswith("studio")]
        dealt = {clip.name: replace(clip, generator=next(deal)) for clip in studio}
        world.clips = [dealt.get(clip.name, clip) for clip in world.clips]
        shares.append(play(world)["one page"].macro)
    assert 0.1 < float(np.mean(shares)) < 0.4


def test_a_page_that_shows_one_colour_a_maker_is_won_by_the_thumbnail() -> None:
    world = page_world(0.0)
    for clip in world.clips:
        look = world.evidence[clip.name].prepared.glance.thumbnail
        look[:, :, 1] = 0.1 + 0.2 * ["alpha", "beta", "gamma", "delta", "rare", None].index(clip.generator)
    (found,) = play(world).values()
    assert found.nulls["thumbnail"] == 1.0


def test_camera_footage_beside_generated_clips_is_a_maker_like_the_others() -> None:
    world = World(separation=14.0)
    world.add("alpha", "alpha|both", clips=4)
    world.add(None, "phone|both", clips=4)
    world.add("beta", "beta/elsewhere", clips=4)
    (found,) = play(on_pages(world)).values()
    assert found.makers == {"alpha": 4, "camera": 4}
    assert found.macro > 0.8


def test_a_page_with_one_maker_of_three_clips_is_no_set() -> None:
    world = World(separation=14.0)
    world.add("alpha", "alpha|page", clips=5)
    world.add("beta", "beta|page", clips=2)
    assert play(on_pages(world)) == {}


def test_a_page_without_any_other_source_to_learn_the_scatter_from_is_still_judged() -> None:
    world = World(separation=14.0)
    world.add("alpha", "alpha|page", clips=4)
    world.add("beta", "beta|page", clips=4)
    (found,) = play(on_pages(world)).values()
    assert found.macro > 0.8


def test_clips_without_windows_and_footage_processed_by_nobody_knows_what_stay_out() -> None:
    world = page_world(14.0)
    silent, unnamed = world.clips[0], world.clips[1]
    seen = world.evidence[silent.name]
    world.evidence[silent.name] = replace(seen, file=replace(seen.file, windows=()))
    world.clips[1] = replace(unnamed, label=Label.PROCESSED, generator=None)
    (found,) = play(world).values()
    assert found.makers["alpha"] == 3
