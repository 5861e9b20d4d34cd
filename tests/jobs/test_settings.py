"""Settings: a file, then the environment, then flags; a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.settings import Settings, SettingsError, load_settings


def test_defaults_need_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(env={}) == Settings()


def test_flags_win_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "makersmark.toml"
    config.write_text('home = "from-file"\nworkers = 3\nfile_s = 90\ndecoder = "decord"\n')
    env = {"MAKERSMARK_HOME": "from-env", "MAKERSMARK_WORKERS": "5"}
    found = load_settings({"home": "from-flag", "workers": None}, config=config, env=env)
    assert (found.home, found.workers, found.file_s, found.decoder) == ("from-flag", 5, 90.0, "decord")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hoem = 'x'", "hoem"),
        ("workers = 'two'", "workers"),
        ("executor = 'slurm'", "local, ray"),
        ("lease_s = 0", "lease_s"),
        ("home = ", "not valid TOML"),
        ("workers = -1", "workers"),
        ("split_bursts = -1", "split_bursts"),
        ("cpus_per_worker = 0", "cpus_per_worker"),
        ("object_store_mb = 10", "at least 80"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "makersmark.toml"
    config.write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_settings(config=config, env={})


def test_a_wrong_environment_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="MAKERSMARK_WORKERS"):
        load_settings(env={"MAKERSMARK_WORKERS": "many"})


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load_settings(config=tmp_path / "absent.toml", env={})


def test_the_database_lies_in_the_home_unless_it_is_elsewhere() -> None:
    assert Settings(home="/x/home").database_url == "sqlite:////x/home/makersmark.sqlite"
    assert Settings(home="s3://b/home", db="postgresql://h/d").database_url == "postgresql://h/d"
    with pytest.raises(SettingsError, match="--db"):
        _ = Settings(home="s3://b/home").database_url
