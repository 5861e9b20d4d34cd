"""Enrolling as people and scripts rely on it: what is refused, what is told first, and going back."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.enroll import clips_of_files
from jobs.enrollment import carry_out, propose
from jobs.home import Home
from jobs.models import AuditEvent
from jobs.settings import load_settings
from tests.footage import gif, make_video, text_named_mp4
from tests.jobs.conftest import QUIET
from tests.jobs.test_cli import Run, run  # noqa: F401 (a fixture)

SMALL: dict[str, Any] = {"frames": 12, "size": (160, 128)}


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three makers' clips: "many" from three pages and two encoders, "page" from one page, "pair" of two clips."""
    folder = tmp_path_factory.mktemp("known")
    for number in range(3):
        for maker, page in (("many", f"page{number}"), ("page", "only"), ("pair", "one")):
            if maker == "pair" and number == 2:
                continue
            path = folder / maker / page / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            codec = "libx265" if maker == "many" and number == 1 else "libx264"
            make_video(path, seed={"many": 40, "page": 50, "pair": 60}[maker] + number, codec=codec, **SMALL)
    return folder


@pytest.fixture(scope="session")
def enrolled(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two snapshots: of camera footage (really "page"), then of "many" besides; tests work on copies."""
    folder = tmp_path_factory.mktemp("enrolled") / "home"
    home = Home(load_settings({"home": str(folder), "workers": 1}))
    for name, maker, family in (("camera", "page", None), ("Many", "many", "some-vae")):
        wanted = clips_of_files(name, [str(clips / maker)], source=None, family=family, kind="generator")
        carry_out(home, propose(home, wanted, console=QUIET))
    home.close()
    return folder


def opened() -> Home:
    return Home(load_settings({"home": "home", "workers": 1}))


def stored(home: Home) -> tuple[int, int]:
    """(signatures in use, published snapshots)."""
    from jobs.scan import current_spec

    spec = current_spec(home.settings).id
    return sum(count.clips for count in home.store.counts(spec).values()), len(home.store.snapshots())


def test_fewer_than_three_usable_clips_are_refused_and_nothing_is_stored(run: Run, clips: Path) -> None:  # noqa: F811
    said = run("enroll", "Pair", str(clips / "pair"), "--home", "home")
    assert said.code == 2
    assert "pair would have 2 usable clips in all, and 3 are needed" in said.err
    assert "nothing was stored or published" in said.out
    assert stored(opened()) == (0, 0)
    assert "pair" not in {entry.slug for entry in opened().store.generators()}


def test_a_gif_unreadable_files_and_the_same_content_twice_are_not_usable(
    run: Run,  # noqa: F811
    clips: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(clips / "pair", tmp_path / "pair")
    shutil.copy(tmp_path / "pair" / "one" / "0.mp4", tmp_path / "pair" / "copy.mp4")
    gif(tmp_path / "pair" / "moving.gif")
    text_named_mp4(tmp_path / "pair" / "letter.mp4")
    names = [str(path) for path in sorted((tmp_path / "pair").rglob("*.*"))]
    said = run("enroll", "Pair", *names, "--home", "home")
    assert said.code == 1  # some files could not be read, which the contract puts first
    assert "pair would have 2 usable clips in all" in said.err
    assert "posterised" in said.err
    assert stored(opened()) == (0, 0)


def test_clips_that_are_enrolled_already_count_towards_the_three(
    run: Run,  # noqa: F811
    enrolled: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(enrolled, "home")
    more = make_video(tmp_path / "one.mp4", seed=77, **SMALL)
    said = run("enroll", "Many", str(more), "--home", "home")
    assert said.code == 0, said.err
    assert "many: 1 signatures added" in said.out
    assert stored(opened()) == (7, 3)


def test_what_a_new_signature_is_like_is_told_before_it_is_published_and_a_dry_run_leaves_no_home(
    run: Run,  # noqa: F811
    clips: Path,
    enrolled: Path,
    tmp_path: Path,
) -> None:
    said = run("enroll", "Many", str(clips / "many"), "--home", "home", "--dry-run")
    assert (said.code, "a dry run: nothing was stored or published" in said.out) == (0, True)
    assert not (tmp_path / "home").exists()
    assert "one source" not in said.out  # three pages
    assert "share one encoder" not in said.out  # two
    shutil.copytree(enrolled, "home")
    before = stored(opened())
    (told,) = run("enroll", "Twin", str(clips / "many"), "--home", "home", "--dry-run", "--json").objects
    assert stored(opened()) == before
    assert (told["published"], told["snapshot"]) == (False, None)
    (maker,) = told["makers"]
    assert (maker["generator"], maker["clips"], maker["sources"], maker["new"]) == ("twin", 3, 3, 3)
    assert (maker["held_out"], maker["tested"]) == ("source", 3)
    assert 0.0 <= maker["rank1"] <= 1.0
    assert 0.0 <= maker["camera_auc"] <= 1.0
    assert [rival["generator"] for rival in maker["rivals"]] == ["many"]  # camera footage is no neighbour
    assert any("twin is hardly told from many" in warning for warning in told["warnings"])
    assert "twin" not in {entry.slug for entry in opened().store.generators()}
    said = run("enroll", "Twin", str(clips / "many"), "--home", "home")
    assert said.out.index("near it: many") < said.out.index("against camera footage: AUC")
    assert said.out.index("against camera footage: AUC") < said.out.index("is published")


def test_one_source_and_one_encoder_are_warned_of(run: Run, clips: Path) -> None:  # noqa: F811
    said = run("enroll", "Page", str(clips / "page"), "--home", "home", "--dry-run")
    assert "all clips of page come from one source" in said.out
    assert "all 3 clips of page given now share one encoder (h264" in said.out
    assert "no camera footage is enrolled" in said.out


def test_a_list_enrolls_who_has_clips_enough_and_names_who_has_not(run: Run, clips: Path) -> None:  # noqa: F811
    rows = [
        f"{path.relative_to(clips)},{'camera' if maker == 'page' else 'generated'},{maker},{path.parent.name}"
        for maker in ("many", "page", "pair")
        for path in sorted((clips / maker).rglob("*.mp4"))
    ]
    table = clips / "manifest.csv"
    table.write_text("\n".join(["path,label,generator,source", *rows]) + "\n")
    said = run("enroll", "--manifest", str(table), "--home", "home", "--json")
    (told,) = said.objects
    assert said.code == 1
    assert list(told["refused"]) == ["pair"]
    assert [maker["generator"] for maker in told["makers"]] == ["camera", "many"]
    assert stored(opened()) == (6, 1)


def test_rolling_back_judges_by_the_earlier_snapshot_and_builds_on_its_signatures(
    run: Run,  # noqa: F811
    clips: Path,
    tmp_path: Path,
) -> None:
    run("enroll", "camera", str(clips / "page"), "--home", "home")
    run("enroll", "Many", str(clips / "many"), "--home", "home")
    now, first = run("snapshots", "list", "--home", "home", "--json").objects
    assert (now["current"], first["current"]) == (True, False)
    assert (now["signatures"], first["signatures"]) == (6, 3)
    (done,) = run("snapshots", "rollback", first["id"][:10], "--home", "home", "--json").objects
    assert done == {
        "before": now["id"], "snapshot": first["id"], "withdrawn": 3, "reinstated": 0, "forgotten": 0
    }  # fmt: skip
    target = next((clips / "many").rglob("*.mp4"))
    (record,) = run("scan", str(target), "--home", "home", "--json", "-j", "1").objects
    assert record["snapshot"] == first["id"]
    table = run("generators", "--home", "home", "--json").objects[0]
    assert [row["slug"] for row in table["enrolled"]] == ["camera"]
    with Session(opened().engine) as session:
        (event,) = session.scalars(select(AuditEvent).where(AuditEvent.action == "rollback"))
    assert (event.subject, event.detail["before"], event.detail["withdrawn"]) == (first["id"], now["id"], 3)
    # What is enrolled next stands on the three that are in use, and going forward again brings back the others.
    for number in range(3):
        (tmp_path / "new" / f"page{number}").mkdir(parents=True)
        make_video(tmp_path / "new" / f"page{number}" / "x.mp4", seed=90 + number, **SMALL)
    run("enroll", "Another", str(tmp_path / "new"), "--home", "home")
    assert stored(opened()) == (6, 3)
    (shown,) = run("snapshots", "show", "--home", "home", "--json").objects
    assert set(shown["counts"]) == {"another", "camera"}
    (done,) = run("snapshots", "rollback", now["id"], "--home", "home", "--json").objects
    assert (done["withdrawn"], done["reinstated"]) == (3, 3)
    assert len(run("snapshots", "list", "--home", "home", "--json").objects) == 3
    assert "judges from now on" in run("snapshots", "rollback", first["id"], "--home", "home").out
    assert first["id"][:16] in run("snapshots", "list", "--home", "home").out


@pytest.mark.parametrize(
    ("identity", "sentence"), [("abc", "at least 4"), ("0000ffff", "no snapshot of this home has an id that begins")]
)
def test_a_snapshot_that_is_not_there_cannot_be_gone_back_to(
    run: Run,  # noqa: F811
    identity: str,
    sentence: str,
) -> None:
    opened().close()
    said = run("snapshots", "rollback", identity, "--home", "home")
    assert (said.code, sentence in said.err) == (2, True)


def test_a_snapshot_whose_files_are_damaged_is_not_gone_back_to(run: Run, enrolled: Path) -> None:  # noqa: F811
    shutil.copytree(enrolled, "home")
    now, first = run("snapshots", "list", "--home", "home", "--json").objects
    (Path("home") / "snapshots" / first["id"] / "model.npz").write_bytes(b"damaged")
    said = run("snapshots", "rollback", first["id"], "--home", "home")
    assert (said.code, "cannot be used" in said.err) == (3, True)
    assert run("snapshots", "list", "--home", "home", "--json").objects[0]["id"] == now["id"]


def test_grades_are_shown_with_their_reason(run: Run, enrolled: Path) -> None:  # noqa: F811
    shutil.copytree(enrolled, "home")
    (table,) = run("generators", "--home", "home", "--json").objects
    rows = {row["slug"]: row for row in table["enrolled"]}
    assert rows["camera"]["grade"] == "reference"
    assert rows["many"]["may"] == "named"
    assert rows["many"]["tested"] == 3
    assert rows["many"]["grade"] in ("good", "fair", "weak")
    assert "of 3 clips of sources unseen" in rows["many"]["grade_why"]
    assert {row["grade"] for row in table["catalogue"]} == {None}
    said = run("generators", "many", "--home", "home").out
    assert rows["many"]["grade_why"] in said
    assert "some-vae" in said
    assert "rank-1" in run("generators", "--home", "home").out


def test_asking_needs_a_terminal(
    run: Run,  # noqa: F811
    clips: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    arguments = ("enroll", "Many", str(clips / "many"), "--home", "home")
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    said = run(*arguments)
    assert (said.code, "Publish?" in said.out, stored(opened())) == (0, True, (0, 0))
    assert "Publish?" not in run(*arguments, "--yes").out
    assert stored(opened()) == (3, 1)


def test_a_snapshot_whose_signatures_were_withdrawn_can_still_be_built_again(run: Run, enrolled: Path) -> None:  # noqa: F811
    shutil.copytree(enrolled, "home")
    now, first = run("snapshots", "list", "--home", "home", "--json").objects
    run("snapshots", "rollback", first["id"], "--home", "home")
    (Path("home") / "snapshots" / now["id"] / "model.npz").write_bytes(b"damaged")
    assert run("audit", "--home", "home", "--repair").code == 0
    assert opened().load_snapshot(now["id"]).id == now["id"]
    assert run("snapshots", "list", "--home", "home", "--json").objects[0]["id"] == first["id"]
