"""Credentials in URIs, URLs and the environment are never written anywhere and never said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.home import Home
from jobs.models import Location
from jobs.settings import Settings
from tests.jobs.conftest import archive, footage, home_at, run_sweep  # noqa: F401 (fixtures)
from tests.jobs.test_cli import Run, Said, run  # noqa: F401 (a fixture)
from tests.postgres_server import PostgresServer

# ruff: noqa: F811

# What must never be seen: planted in URIs, URLs and the environment below.
SECRETS = ("pl4nted-user-pass", "pl4nted-signature", "pl4nted-db-pass", "pl4nted-env-key", "pl4nted-query-pass")


def test_no_credential_is_ever_written_or_said(
    run: Run, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_pass, signature, db_pass, env_key, query_pass = SECRETS
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, env_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    signed = f"http://analyst:{user_pass}@127.0.0.1:9/folder/clip.mp4?X-Amz-Signature={signature}"
    nowhere = f"postgresql://u:{db_pass}@127.0.0.1:9/none?password={query_pass}"
    good = ["--home", "home", "-j", "1"]
    spoken = [
        run("sweep", str(archive), *good),
        run("sweep", signed, *good),
        run("sweep", str(archive), "--home", f"s3://key:{user_pass}@bucket/home?token={signature}", "-j", "1"),
        run("sweep", str(archive), "--home", f"s3://key:{user_pass}@bucket/home"),
        run("sweep", str(archive), "--home", "home", "--db", nowhere),
        run("sweep", str(archive), "--home", "home", "--db", f"postgresql://u:{db_pass}@host:notaport/x"),
        run("sweep", str(archive), "--home", "home", "--db", f"frob://u:{db_pass}@host/x?password={query_pass}"),
        run("scan", signed, str(archive / "letter.mp4"), *good, "--json"),
        run("scan", signed, *good),
        run("enroll", "sora", signed, *good),
        run("lookup", signed, "--home", "home", "--json"),
        run("lookup", signed, "--home", "home"),
        run("quarantine", "list", "--all", "--home", "home"),
        run("quarantine", "retry", signed, "--home", "home"),
    ]
    assert [said.code for said in spoken] == [1, 2, 2, 2, 3, 3, 3, 1, 1, 1, 1, 1, 0, 1]
    for said in spoken:
        shows_none(said.out.encode() + said.err.encode())
        assert "Traceback" not in said.err
    written = [path for path in Path("home").rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in written)
    for path in written:
        shows_none(path.read_bytes())
    with Session(Home(Settings(home="home")).engine) as session:
        assert not [uri for uri in session.scalars(select(Location.uri)) if "@" in uri or "?" in uri]


def shows_none(data: bytes) -> None:
    for secret in SECRETS:
        assert secret.encode() not in data, (secret, data[-600:] if len(data) < 100_000 else "")


@pytest.mark.postgres
def test_the_password_of_a_real_server_is_nowhere_in_its_own_tables(
    run: Run, archive: Path, postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    said = run("sweep", str(archive), "--home", "home", "-j", "1", "--db", postgres_url)
    assert said.code == 1
    dump = subprocess.run(
        [str(postgres_server.binaries / "pg_dump"), postgres_url.replace("+psycopg", "")],
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout
    assert b"one.mp4" in dump
    for data in (dump, said.out.encode(), said.err.encode()):
        assert b"planted" not in data
