"""A pack told nothing of its makers but their slugs: a processor that the catalogue does not know came back as a
generator, and camera footage through it would have been called generated."""

from __future__ import annotations

from pathlib import Path

import pytest

from fingerprint_db.errors import PackError
from fingerprint_db.pack import read_pack, write_pack
from fingerprint_db.signature import SignatureRecord
from jobs.home import Home
from jobs.packs import export_pack, import_pack
from jobs.scan import current_spec
from jobs.settings import Settings
from tests.fingerprint_db.signatures import World


def home_at(path: Path) -> Home:
    return Home(Settings(home=str(path)))


def records(maker: str, spec_id: str) -> list[SignatureRecord]:
    world = World()
    return [world.record(maker, f"place{number // 2}", spec_id=spec_id) for number in range(6)]


def test_a_processor_is_one_in_the_home_that_loads_its_pack(tmp_path: Path) -> None:
    one, two = home_at(tmp_path / "one"), home_at(tmp_path / "two")
    spec_id = current_spec(one.settings).id
    one.store.register_generator("camera", name="Camera", kind="camera", origin="enrolled")
    one.store.register_generator(
        "garden-vae", name="Garden VAE", kind="processor", family="garden-vae", origin="enrolled"
    )
    one.store.add_signatures([record for maker in ("camera", "garden-vae") for record in records(maker, spec_id)])
    export_pack(one, tmp_path / "pack", name="mine")
    import_pack(two, tmp_path / "pack" / "mine.npz")
    (entry,) = [entry for entry in two.store.generators() if entry.slug == "garden-vae"]
    assert (entry.kind, entry.family, entry.name) == ("processor", "garden-vae", "Garden VAE")


def test_a_kind_that_there_is_not_is_refused(tmp_path: Path) -> None:
    home = home_at(tmp_path / "home")
    spec_id = current_spec(home.settings).id
    facts = {"garden-vae": {"name": "Garden VAE", "kind": "wizard", "family": None}}
    data = write_pack(records("garden-vae", spec_id), name="odd", spec_id=spec_id, makers=facts)
    assert read_pack(data).makers == facts
    (tmp_path / "odd.npz").write_bytes(data)
    with pytest.raises(PackError, match="says that garden-vae is a wizard"):
        import_pack(home, tmp_path / "odd.npz")
    assert home.store.signatures(spec_id) == []
