"""A generator that was enrolled with its family or kind lost both when more clips were enrolled without naming them."""

from __future__ import annotations

from pathlib import Path

from jobs.enroll import clips_of_files
from jobs.enrollment import carry_out, propose
from jobs.home import Home
from jobs.settings import Settings
from tests.footage import make_video
from tests.jobs.conftest import QUIET


def test_what_was_said_of_a_maker_stands_until_something_else_is_said(tmp_path: Path) -> None:
    home = Home(Settings(home=str(tmp_path / "home"), workers=1))
    home.store.register_generator("sharper", name="sharper", kind="processor", family="sharp-net", origin="enrolled")
    for number in range(3):
        make_video(tmp_path / f"{number}.mp4", frames=12, size=(160, 128), seed=number)
    names = [str(tmp_path / f"{number}.mp4") for number in range(3)]
    wanted = clips_of_files("sharper", names, source="page", family=None, kind="generator")
    carry_out(home, propose(home, wanted, console=QUIET))
    (entry,) = [entry for entry in home.store.generators() if entry.slug == "sharper"]
    assert (entry.kind, entry.family) == ("processor", "sharp-net")
