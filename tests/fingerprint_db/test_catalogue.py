"""The catalogue: its facts, its spellings, its checks and its page. The tables here are the specification."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fingerprint_db.catalogue import (
    Catalogue,
    CatalogueError,
    Causality,
    Kind,
    Paradigm,
    describe,
    frame_rule_allows,
    load_catalogue,
)

PROJECT = Path(__file__).parents[2]

# generator: (decoder class, spatial stride, temporal stride, latent channels)
DECODERS = {
    "hunyuanvideo": ("AutoencoderKLHunyuanVideo", 8, 4, 16),
    "open-sora-2.0": ("AutoencoderKLHunyuanVideo", 8, 4, 16),
    "open-sora-1.0": ("AutoencoderKL", 8, 1, 4),
    "open-sora-1.2": ("VideoAutoencoderPipeline (SDXL image VAE + temporal VAE)", 8, 4, 4),
    "open-sora-1.3": ("Open-Sora unified spatio-temporal VAE", 8, 4, 16),
    "stable-video-diffusion": ("AutoencoderKLTemporalDecoder", 8, 1, 4),
    "animatediff": ("AutoencoderKL", 8, 1, 4),
    "videopoet": ("MAGVIT-v2 tokenizer (closed)", 8, 4, None),
    "wan-2.1": ("AutoencoderKLWan", 8, 4, 16),
    "wan-2.2-14b": ("AutoencoderKLWan", 8, 4, 16),
    "skyreels-v2": ("AutoencoderKLWan", 8, 4, 16),
    "cosmos-predict-2.5": ("AutoencoderKLWan", 8, 4, 16),
    "wan-2.2-5b": ("AutoencoderKLWan (residual, patch 2)", 16, 4, 48),
    "cogvideox": ("AutoencoderKLCogVideoX", 8, 4, 16),
    "ltx-video": ("AutoencoderKLLTXVideo", 32, 8, 128),
    "mochi-1": ("AutoencoderKLMochi", 8, 6, 12),
    "cosmos-1.0": ("AutoencoderKLCosmos", 8, 8, 16),
    "easyanimate": ("AutoencoderKLMagvit", 8, 4, 16),
    "allegro": ("AutoencoderKLAllegro", 8, 4, 4),
    "hunyuanvideo-1.5": ("AutoencoderKLHunyuanVideo15", 16, 4, 32),
}

# generator: (one native size, or None where only area classes are known; frames; fps)
OUTPUTS = {
    "hunyuanvideo": ((1280, 720), (129,), (24,)),
    "open-sora-2.0": (None, (129,), (24,)),
    "open-sora-1.2": (None, (51,), (24,)),
    "stable-video-diffusion": ((1024, 576), (14, 25), (7,)),
    "animatediff": ((512, 512), (16,), (8,)),
    "videopoet": ((128, 128), (17,), (8,)),
    "sora": ((1920, 1080), (), (30,)),
    "veo-3": ((1920, 1080), (), (24,)),
    "wan-2.1": ((832, 480), (81,), (16,)),
    "wan-2.2-5b": ((1280, 704), (121,), (24,)),
    "cogvideox": ((720, 480), (49,), (8,)),
    "ltx-video": ((704, 512), (161,), (24, 25)),
    "mochi-1": ((848, 480), (), (30,)),
    "cosmos-1.0": ((1280, 704), (121,), ()),
    "easyanimate": (None, (49,), (8,)),
    "allegro": ((1280, 720), (88,), (15,)),
    "hunyuanvideo-1.5": (None, (121,), ()),
}

SHARED = {
    "hunyuan-vae": {"hunyuanvideo", "open-sora-2.0", "kandinsky-5"},
    "wan-vae": {
        "wan-2.1", "wan-2.2-14b", "skyreels-v2", "cosmos-predict-2.5", "self-forcing", "causvid", "longlive",
    },
    "svd-vae": {"stable-video-diffusion", "animatelcm-svd", "sf-v", "mofa-video"},
    "cogvideox-vae": {"cogvideox", "consisid"},
    "sd-vae": {
        "animatediff", "latte", "modelscope", "lavie", "videocrafter1", "videocrafter2", "zeroscope", "open-sora-1.0",
        "open-sora-1.1", "seine", "i2vgen-xl", "dynamicrafter", "motionctrl", "videocomposer", "consisti2v", "cinemo",
        "fancyvideo", "pia",
    },
}  # fmt: skip

# The spellings which the labelled development clips use, with the family that their manifest states ("" = unknown).
SPELLINGS = """
Allegro: | AnimateDiff:sd-vae | AnimateLCM-SVD:svd-vae | CausVid:wan-vae | Cinemo:sd-vae | CogVideoX:cogvideox-vae
ConsistI2V:sd-vae | Cosmos: | DynamiCrafter:sd-vae | EasyAnimate: | FancyVideo:sd-vae | Floor33: | Genmo:
HunyuanVideo:hunyuan-vae | I2VGen-XL:sd-vae | ImagenVideo: | LaVie:sd-vae | LongLive:wan-vae | Luma: | Lumiere:
MAGI-1: | MOFA-Video:svd-vae | MagicVideo-V2: | MakeAVideo: | ModelScope:sd-vae | Moonvalley: | MorphStudio:
MotionCtrl:sd-vae | NOVA: | OpenSora: | PIA:sd-vae | PYoCo: | Pika: | PyramidFlow: | Runway-Gen2: | Runway-Gen3:
SEINE:sd-vae | SVD:svd-vae | SelfForcing:wan-vae | Show-1: | SkyReels-V2:wan-vae | SnapVideo: | Sora: | Veo3:
VideoComposer:sd-vae | VideoCrafter1:sd-vae | VideoCrafter2:sd-vae | VideoLDM: | VideoPoet: | Wan:wan-vae
ZeroScope:sd-vae
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


class TestFacts:
    @pytest.mark.parametrize("slug", DECODERS)
    def test_the_decoder_of_a_generator_has_the_published_class_strides_and_channels(self, catalogue, slug):
        family = catalogue.family_of(slug)
        stated = (family.vae_class, family.spatial_stride, family.temporal_stride, family.latent_channels)
        assert stated == DECODERS[slug]

    @pytest.mark.parametrize("slug", OUTPUTS)
    def test_a_generator_has_its_published_size_frames_and_rate(self, catalogue, slug):
        generator = catalogue.generators[slug]
        size, frames, fps = OUTPUTS[slug]
        assert size is None or size in generator.native_sizes
        assert (generator.frame_counts, generator.fps) == (frames, fps)

    @pytest.mark.parametrize("family", SHARED)
    def test_generators_that_share_a_decoder_are_one_family(self, catalogue, family):
        assert {member.slug for member in catalogue.members(family)} == SHARED[family]

    def test_the_missions_seven_generators_are_marked(self, catalogue):
        assert {generator.slug for generator in catalogue.generators.values() if generator.mission} == {
            "hunyuanvideo", "sora", "stable-video-diffusion", "veo-3", "open-sora", "animatediff", "videopoet",
        }  # fmt: skip

    @pytest.mark.parametrize("slug", ["sora", "sora-2", "veo-3", "pika", "runway-gen-2", "luma-dream-machine"])
    def test_an_undisclosed_decoder_is_left_unknown(self, catalogue, slug):
        assert catalogue.family_of(slug) is None

    @pytest.mark.parametrize("slug", ["lumiere", "imagen-video", "make-a-video", "pyoco", "snap-video"])
    def test_a_pixel_space_cascade_has_no_decoder_family_and_says_why(self, catalogue, slug):
        assert catalogue.family_of(slug) is None
        assert "no VAE" in catalogue.generators[slug].notes

    def test_provider_marks_are_declared(self, catalogue):
        assert any("C2PA" in mark for mark in catalogue.generators["sora"].declared_marks)
        assert any("SynthID" in mark for mark in catalogue.generators["veo-3"].declared_marks)

    def test_seams_of_hunyuanvideos_decoder_are_recorded(self, catalogue):
        assert "13 + 12k" in catalogue.family_of("hunyuanvideo").decode_pattern

    def test_causality_is_that_of_the_decoder(self, catalogue):
        stated = {
            slug: catalogue.family_of(slug).causality for slug in ("wan-2.1", "ltx-video", "allegro", "animatediff")
        }
        assert stated == {
            "wan-2.1": Causality.CAUSAL,
            "ltx-video": Causality.NON_CAUSAL,
            "allegro": Causality.NON_CAUSAL,
            "animatediff": Causality.PER_FRAME,
        }

    def test_paradigms_are_those_of_the_published_designs(self, catalogue):
        stated = {
            slug: catalogue.generators[slug].paradigm
            for slug in ("make-a-video", "magi-1", "ltx-video", "hunyuanvideo", "videopoet", "pika")
        }
        assert stated == {
            "make-a-video": Paradigm.KEYFRAMES,
            "magi-1": Paradigm.CHUNKS,
            "ltx-video": Paradigm.COMPRESSION,
            "hunyuanvideo": Paradigm.END_TO_END,
            "videopoet": Paradigm.TOKENS,
            "pika": None,
        }

    def test_every_row_cites_a_source(self, catalogue):
        rows = [*catalogue.families.values(), *catalogue.generators.values()]
        assert [row.slug for row in rows if not row.sources] == []

    def test_only_the_tiny_published_vae_has_no_video_generator(self, catalogue):
        assert [slug for slug in catalogue.families if not catalogue.members(slug)] == ["taef2-vae"]
        tiny = catalogue.families["taef2-vae"]
        assert (tiny.spatial_stride, tiny.latent_channels, tiny.licence) == (8, 32, "MIT")


class TestProcessors:
    def test_each_net_is_a_family_of_its_own_with_a_licence(self, catalogue):
        processors = [g for g in catalogue.generators.values() if g.kind is Kind.PROCESSOR and g.family]
        assert {g.family for g in processors} == {
            "span-x2", "span-x4", "span-clearreality-x4", "realesr-animevideov3", "waifu2x-cunet", "waifu2x-upconv7",
            "waifu2x-denoise", "pyanime4k-acnet", "pyanime4k-arnet", "rife", "styletransfer",
        }  # fmt: skip
        assert all(len(catalogue.members(g.family)) == 1 for g in processors)
        assert all(catalogue.families[g.family].licence for g in processors)

    def test_no_family_mixes_processors_with_generators(self, catalogue):
        for family in catalogue.families.values():
            assert {member.kind for member in catalogue.members(family.slug)} <= {family.kind}

    def test_scales_are_the_nets(self, catalogue):
        scales = {slug: catalogue.family_of(slug).spatial_stride for slug in ("span-x2", "span-x4", "waifu2x-denoise")}
        assert scales == {"span-x2": 2, "span-x4": 4, "waifu2x-denoise": 1}

    def test_a_description_never_calls_processed_footage_generated(self, catalogue):
        processors = [g for g in catalogue.generators.values() if g.kind is Kind.PROCESSOR]
        for processor in processors:
            assert "processed camera footage" in dict(describe(processor, catalogue))["kind"]
            assert not any("generated" in value for _, value in describe(processor, catalogue))


class TestVersions:
    def test_versions_of_open_sora_decode_differently_and_are_reported_as_one(self, catalogue):
        versions = catalogue.versions("open-sora")
        assert [version.slug for version in versions] == [f"open-sora-{n}" for n in ("1.0", "1.1", "1.2", "1.3", "2.0")]
        assert {catalogue.target_of(version.slug) for version in versions} == {"open-sora"}
        assert len({version.family for version in versions}) == 4
        assert catalogue.family_of("open-sora") is None

    def test_a_generator_without_versions_is_its_own_target(self, catalogue):
        assert catalogue.target_of("animatediff") == "animatediff"
        assert catalogue.versions("animatediff") == ()


class TestResolve:
    @pytest.mark.parametrize("entry", SPELLINGS.replace("\n", "|").strip("|").split("|"))
    def test_a_label_of_the_development_clips_finds_its_generator_and_agrees_on_the_family(self, catalogue, entry):
        label, family = entry.strip().split(":")
        generator = catalogue.resolve(label)
        assert generator.kind is Kind.GENERATOR
        assert family in ("", generator.family)

    def test_all_51_labels_are_listed_here_and_mean_51_generators(self, catalogue):
        labels = [entry.split(":")[0].strip() for entry in SPELLINGS.replace("\n", "|").strip("|").split("|")]
        assert len({catalogue.resolve(label).slug for label in labels}) == len(labels) == 51

    @pytest.mark.parametrize(
        ("spelling", "slug"),
        [
            ("SVD", "stable-video-diffusion"),
            ("stable video diffusion", "stable-video-diffusion"),
            ("Veo3", "veo-3"),
            ("VEO 3", "veo-3"),
            ("OpenSora", "open-sora"),
            ("Open-Sora 1.2", "open-sora-1.2"),
            ("opensora_v2", "open-sora-2.0"),
            ("Hunyuan Video", "hunyuanvideo"),
            ("wan2.2-t2v-a14b", "wan-2.2-14b"),
            ("Mochi", "mochi-1"),
            ("Real-ESRGAN", "realesr-animevideov3"),
        ],
    )
    def test_case_and_punctuation_do_not_matter(self, catalogue, spelling, slug):
        assert catalogue.resolve(spelling).slug == slug

    def test_every_slug_name_and_alias_resolves_to_its_row(self, catalogue):
        for generator in catalogue.generators.values():
            for spelling in (generator.slug, generator.name, *generator.aliases):
                assert catalogue.resolve(spelling) is generator

    def test_a_misspelling_is_answered_with_close_names(self, catalogue):
        with pytest.raises(CatalogueError, match=r"no generator called 'hunyan'; did you mean hunyuanvideo"):
            catalogue.resolve("hunyan")

    @pytest.mark.parametrize("name", ["qqqq", "", "---"])
    def test_a_name_like_nothing_gets_no_suggestion(self, catalogue, name):
        with pytest.raises(CatalogueError) as caught:
            catalogue.resolve(name)
        assert str(caught.value) == f"no generator called {name!r}"

    def test_unknown_slugs_and_families_are_refused_with_a_hint(self, catalogue):
        with pytest.raises(CatalogueError, match="did you mean sora"):
            catalogue.family_of("soraa")
        with pytest.raises(CatalogueError, match="did you mean svd-vae"):
            catalogue.members("svd_vae")

    def test_the_catalogue_cannot_be_changed_by_its_readers(self, catalogue):
        with pytest.raises(TypeError):
            catalogue.generators["x"] = catalogue.generators["sora"]
        with pytest.raises(dataclasses.FrozenInstanceError):
            catalogue.generators["sora"].family = "sd-vae"
        assert load_catalogue() is catalogue


class TestFrameRules:
    @pytest.mark.parametrize(
        ("rule", "allowed", "refused"),
        [
            ("4k+1", [1, 5, 49, 81, 121, 129], [0, 2, 4, 48, 80, -3]),
            ("8k+1", [1, 49, 121, 161], [8, 50, 120, 5]),
            ("6k+1", [1, 7, 19, 163], [6, 20, 84]),
            ("4k", [4, 88], [0, 1, 87, 90]),
            ("12k+13", [13, 25, 37], [1, 12, 24]),
        ],
    )
    def test_a_rule_allows_exactly_the_lengths_of_its_form(self, rule, allowed, refused):
        assert [frames for frames in allowed if not frame_rule_allows(rule, frames)] == []
        assert [frames for frames in refused if frame_rule_allows(rule, frames)] == []

    @pytest.mark.parametrize("rule", ["", "k", "4k-1", "0k+1", "4k+0", "4n+1", "4k+1 ", "4k+1k"])
    def test_a_rule_of_another_form_is_refused(self, rule):
        with pytest.raises(ValueError, match="not a frame rule"):
            frame_rule_allows(rule, 5)
