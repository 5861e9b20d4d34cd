"""A manifest is read strictly: what cannot be trusted is refused or listed, never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.evaluate.manifest import Known, Label, ManifestError, load_manifest, slug

HEADER = "path,label,generator,decoder_family,source,same_page,licence\n"


def write(folder: Path, rows: str, files: str = "a b c", header: str = HEADER) -> Path:
    for name in files.split():
        (folder / f"{name}.mp4").write_bytes(name.encode())
    path = folder / "manifest.csv"
    path.write_text(header + rows, encoding="utf-8-sig")
    return path


def test_a_row_becomes_a_clip_with_paths_beside_the_manifest_and_the_catalogues_slugs(tmp_path: Path) -> None:
    path = write(tmp_path, "a.mp4,generated,HunyuanVideo,,some/page,duel,MIT\nb.mp4,camera,,,other/page,,\n")
    made, filmed = load_manifest(path).clips
    assert (made.path, made.label) == (tmp_path / "a.mp4", Label.GENERATED)
    assert (made.generator, made.family) == ("hunyuanvideo", "hunyuan-vae")
    assert (made.source, made.same_page) == ("some/page", "duel")
    assert len(made.sha256) == 64
    assert (filmed.label, filmed.generator, filmed.family) == (Label.CAMERA, None, None)


def test_an_unknown_generator_keeps_its_own_slug_and_the_family_that_the_row_states(tmp_path: Path) -> None:
    path = write(tmp_path, "a.mp4,generated,House Model (v2),Our VAE,p,,\n")
    assert (load_manifest(path).clips[0].generator, load_manifest(path).clips[0].family) == (
        "house-model-v2",
        "our-vae",
    )


def test_the_catalogues_family_wins_over_the_column(tmp_path: Path) -> None:
    path = write(tmp_path, "a.mp4,generated,X,wrong,p,,\n")
    assert load_manifest(path, lambda name: Known("x", "right")).clips[0].family == "right"


def test_versions_of_one_generator_are_one_answer(tmp_path: Path) -> None:
    path = write(tmp_path, "a.mp4,generated,Open-Sora 1.2,,p,,\n")
    assert load_manifest(path).clips[0].generator == "open-sora"


def test_a_processor_is_kept_by_name_and_may_be_unnamed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.mp4,processed,Some Upscaler,,p,,\nb.mp4,processed,,,p,,\n")
    assert [clip.generator for clip in load_manifest(path).clips] == ["some-upscaler", None]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("a.mp4,,Sora,,p,,\n", "no label on line 2"),
        ("a.mp4,fake,Sora,,p,,\n", "a label other than camera, generated, processed on line 2"),
        ("b.mp4,camera,,,p,,\na.mp4,generated,,,p,,\n", "a generated clip without its generator on line 3"),
        ("a.mp4,camera,,,,,\n", "no source"),
        (",camera,,,p,,\n", "no path on line 2"),
        ("a.mp4,,,,p,,\n" * 8, "no label on line 2, 3, 4, 5, 6 and 3 more"),
    ],
)
def test_rows_without_a_truth_are_refused_with_their_line(tmp_path: Path, rows: str, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        load_manifest(write(tmp_path, rows))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"has no column label, source; its first line must name path, label"):
        load_manifest(write(tmp_path, "a.mp4,Sora\n", header="path,generator\n"))


def test_an_unreadable_manifest_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read: No such file"):
        load_manifest(tmp_path / "nowhere.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ManifestError, match="not a CSV file in UTF-8"):
        load_manifest(binary)


def test_missing_and_empty_files_are_left_out_by_name(tmp_path: Path) -> None:
    (tmp_path / "hollow.mp4").touch()
    rows = "a.mp4,camera,,,p,,\ngone.mp4,camera,,,p,,\nhollow.mp4,camera,,,p,,\n\n"
    manifest = load_manifest(write(tmp_path, rows))
    assert [clip.name for clip in manifest.clips] == ["a.mp4"]
    assert [(row.name, row.kind) for row in manifest.left_out] == [
        ("gone.mp4", "not_found"),
        ("hollow.mp4", "empty_file"),
    ]


def test_a_manifest_without_one_readable_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no clip .* can be judged: gone.mp4 is not there"):
        load_manifest(write(tmp_path, "gone.mp4,camera,,,p,,\n"))
    with pytest.raises(ManifestError, match="it has no rows"):
        load_manifest(write(tmp_path, ""))


def test_the_same_content_counts_once_even_under_another_source(tmp_path: Path) -> None:
    path = write(tmp_path, "a.mp4,camera,,,p,,\ncopy.mp4,camera,,,q,,\n")
    (tmp_path / "copy.mp4").write_bytes(b"a")
    manifest = load_manifest(path)
    assert [clip.name for clip in manifest.clips] == ["a.mp4"]
    assert [(row.kind, row.message) for row in manifest.left_out] == [("duplicate", "the same content as a.mp4")]


def test_one_content_under_two_labels_is_no_truth_at_all(tmp_path: Path) -> None:
    path = write(tmp_path, "a.mp4,camera,,,p,,\ncopy.mp4,generated,Sora,,q,,\nb.mp4,camera,,,p,,\n")
    (tmp_path / "copy.mp4").write_bytes(b"a")
    manifest = load_manifest(path)
    assert [clip.name for clip in manifest.clips] == ["b.mp4"]
    assert {row.name: row.kind for row in manifest.left_out} == {"a.mp4": "contradictory", "copy.mp4": "contradictory"}


def test_slugs_are_lower_case_words_joined_by_hyphens() -> None:
    assert slug("  Show-1 (XL) ") == "show-1-xl"
