"""The packs that ship fit the code that ships, and say what their makers are."""

from __future__ import annotations

import json
from importlib import resources

from fingerprint_db.catalogue import load_catalogue
from fingerprint_db.pack import read_pack
from jobs.scan import current_spec
from jobs.settings import Settings

SHIPPED = {"starter/starter": "generator", "packs/processors": "processor"}


def test_packs_are_of_the_spec_in_force_and_every_maker_has_its_kind() -> None:
    for name, usual in SHIPPED.items():
        folder = resources.files("fingerprint_db")
        pack = read_pack(folder.joinpath(f"{name}.npz").read_bytes())
        said = json.loads(folder.joinpath(f"{name}.json").read_text())
        assert pack.spec_id == said["spec"] == current_spec(Settings()).id
        makers = {record.generator for record in pack.records}
        assert set(pack.makers) == makers == set(said["generators"])
        kinds = {slug: facts["kind"] for slug, facts in pack.makers.items()}
        assert kinds.pop("camera") == "camera"
        assert kinds["taef2"] == "processor", "camera footage through a VAE is no generated video"
        assert list(kinds.values()).count(usual) >= 10
        if usual == "processor":
            assert set(kinds.values()) == {"processor"}
        assert {record.sha256 for record in pack.records if record.generator == "camera"}


def test_no_generator_of_the_catalogue_has_become_a_processor_in_a_pack() -> None:
    known = {entry.slug: entry.kind for entry in load_catalogue().generators.values()}
    for name in SHIPPED:
        pack = read_pack(resources.files("fingerprint_db").joinpath(f"{name}.npz").read_bytes())
        for slug, facts in pack.makers.items():
            assert known.get(slug, facts["kind"]) == facts["kind"], slug
