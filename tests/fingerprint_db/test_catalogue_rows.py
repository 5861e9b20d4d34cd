"""The catalogue's own checks, its listing with counts, and the page that is made of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fingerprint_db.catalogue import (
    Catalogue,
    CatalogueDataError,
    Kind,
    SignatureCounts,
    Tag,
    describe,
    generator_rows,
    load_catalogue,
)
from fingerprint_db.catalogue.loader import parse_catalogue
from fingerprint_db.catalogue.markdown import to_markdown

PROJECT = Path(__file__).parents[2]

FAMILY = """
[[family]]
slug = "some-vae"
name = "Some VAE"
vae_class = "SomeVAE"
kind = "generator"
tag = "confirmed"
sources = ["arXiv:2401.00001"]
spatial_stride = 8
temporal_stride = 4
"""

GENERATOR = """
[[generator]]
slug = "some"
name = "Some Generator"
maker = "Someone"
kind = "generator"
tag = "confirmed"
sources = ["repo someone/some"]
family = "some-vae"
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


class TestValidation:
    def test_the_smallest_complete_rows_load_and_leave_the_rest_unknown(self):
        some = parse_catalogue(FAMILY, GENERATOR).resolve("SOME generator")
        assert (some.fps, some.frame_counts, some.paradigm, some.released) == ((), (), None, None)

    @pytest.mark.parametrize(
        ("family", "generator", "message"),
        [
            (FAMILY + FAMILY, GENERATOR, "slugs used twice: some-vae"),
            (FAMILY, GENERATOR + GENERATOR, "slugs used twice: some"),
            (
                FAMILY,
                GENERATOR + 'aliases = ["S"]' + GENERATOR.replace('"some"', '"s"'),
                "'S' would mean both|both some",
            ),
            (FAMILY, GENERATOR.replace("some-vae", "other-vae"), "no family called other-vae"),
            (FAMILY, GENERATOR.replace('["repo someone/some"]', "[]"), "at least one source"),
            (FAMILY, GENERATOR.replace("repo someone/some", "I heard it"), "sources of no known form: I heard it"),
            (FAMILY, GENERATOR.replace("repo someone/some", "arXiv:123"), "sources of no known form"),
            (FAMILY.replace("stride = 8", "stride = 0"), GENERATOR, "must be positive"),
            (FAMILY.replace("stride = 8", 'stride = "8"'), GENERATOR, "spatial_stride must be int"),
            (FAMILY + "tiles = [256, 256, 192]", GENERATOR, "tiles are height, width and the two steps"),
            (FAMILY + "tiles = [256, 256, 192, 320]", GENERATOR, "tiles are height, width and the two steps"),
            (FAMILY + "colour = 3", GENERATOR, "unknown fields colour"),
            (FAMILY, GENERATOR.replace('maker = "Someone"', ""), "missing maker"),
            (FAMILY, GENERATOR + 'frame_rule = "four"', "'four' is not a frame rule"),
            (FAMILY, GENERATOR + 'frame_rule = "4k+1"\nframe_counts = [80]', r"\[80\] break its rule 4k\+1"),
            (FAMILY, GENERATOR + "fps = [0]", "must be positive"),
            (FAMILY, GENERATOR + 'fps = ["24"]', "fps must be tuple"),
            (FAMILY, GENERATOR + "native_sizes = [[1280]]", "generator some: not enough values"),
            (FAMILY, GENERATOR + 'released = "soon"', "released must be YYYY"),
            (FAMILY, GENERATOR + 'paradigm = "magic"', "'magic' is not a valid Paradigm"),
            (FAMILY, GENERATOR + 'paradigm = "high latent compression"', "does not fit 256 pixels"),
            (FAMILY, GENERATOR + 'version_of = "nobody"', "version_of names no generator"),
            (FAMILY, GENERATOR + 'version_of = "some"', "version_of names no generator"),
            (FAMILY, GENERATOR.replace('kind = "generator"', 'kind = "processor"'), "a processor cannot have"),
            (FAMILY, GENERATOR.replace('"some"', '"Some One"'), "a slug is lower case"),
            (FAMILY, "[[generators]]", "unknown tables: generators"),
            (FAMILY, "[[generator", "is not TOML"),
        ],
    )
    def test_facts_that_cannot_be_right_are_refused_by_name(self, family, generator, message):
        with pytest.raises(CatalogueDataError, match=message):
            parse_catalogue(family, generator)


class TestListing:
    def test_the_missions_generators_come_first_then_the_others_then_the_processors(self, catalogue):
        rows = generator_rows(catalogue, {})
        assert [row.slug for row in rows[:7]] == sorted(row.slug for row in rows if row.mission)
        others = [row.slug for row in rows[7:] if row.kind is Kind.GENERATOR]
        processors = [row.slug for row in rows[7:] if row.kind is Kind.PROCESSOR]
        assert [row.slug for row in rows[7:]] == sorted(others) + sorted(processors)
        assert len(rows) == len(catalogue.generators)

    def test_a_row_carries_the_decoder_and_what_was_enrolled(self, catalogue):
        rows = {row.slug: row for row in generator_rows(catalogue, {"wan-2.1": SignatureCounts(clips=6, sources=4)})}
        wan = rows["wan-2.1"]
        assert (wan.family, wan.vae_class, wan.stride) == ("wan-vae", "AutoencoderKLWan", "8x4")
        assert (wan.clips, wan.sources) == (6, 4)
        assert (rows["sora"].family, rows["sora"].stride, rows["sora"].clips) == (None, None, 0)

    def test_a_description_gives_the_facts_with_their_sources(self, catalogue):
        facts = dict(describe(catalogue.resolve("hunyuanvideo")))
        assert facts["decoder class"] == "AutoencoderKLHunyuanVideo"
        assert facts["stride (s x t)"] == "8x4"
        assert facts["native sizes"] == "1280x720, 960x544"
        assert facts["shares its decoder with"] == "open-sora-2.0, kandinsky-5"
        assert "arXiv:2412.03603" in facts["sources"]
        assert "autoencoder_kl_hunyuan_video.py" in facts["decoder sources"]

    def test_a_description_leaves_unknown_facts_out(self, catalogue):
        labels = [label for label, _ in describe(catalogue.resolve("Moonvalley"))]
        assert labels == ["slug", "name", "kind", "maker", "released", "notes", "known as", "sources"]
        assert dict(describe(catalogue.resolve("Moonvalley")))["known as"] == Tag.ESTIMATE

    def test_a_version_says_what_it_is_reported_as(self, catalogue):
        assert dict(describe(catalogue.resolve("Sora 2")))["reported as"] == "sora"
        assert dict(describe(catalogue.resolve("Sora")))["versions"] == "sora-2"


class TestPage:
    def test_the_page_in_docs_is_what_the_command_prints(self):
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONIOENCODING": "ascii"}
        command = [sys.executable, "-m", "fingerprint_db.catalogue"]
        printed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
        kept = (PROJECT / "docs" / "catalogue.md").read_bytes()
        assert printed == kept, "run: python -m fingerprint_db.catalogue > docs/catalogue.md"

    def test_every_row_is_on_the_page_with_all_its_sources(self, catalogue):
        lines = to_markdown(catalogue).splitlines()
        for row in (*catalogue.families.values(), *catalogue.generators.values()):
            remarks = [line for line in lines if line.startswith("- ") and f"`{row.slug}`: " in line]
            assert any(all(source in line for source in row.sources) for line in remarks), row.slug

    def test_every_table_line_has_the_cells_of_its_head(self, catalogue):
        width = 0
        for line in to_markdown(catalogue).splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            cells = line.replace("\\|", "").count("|")
            width = width or cells
            assert cells == width
