"""A real PostgreSQL server for tests: made in a folder of its own, reached on a socket, stopped and started at will."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

# Debian keeps a version's binaries out of PATH.
FOLDERS = "/usr/lib/postgresql"
# A killed server process loses nothing without fsync (the kernel keeps the pages), and tests never pull the plug.
QUICK = "-c fsync=off -c full_page_writes=off -c shared_buffers=16MB -c max_connections=50"


def find_binaries() -> Path | str:
    """The folder with initdb and pg_ctl, or one sentence that says what is missing."""
    if importlib.util.find_spec("psycopg") is None:
        return "PostgreSQL's driver is not installed: pip install 'makersmark[postgres]'"
    versions = sorted(Path(FOLDERS).glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True)
    on_path = shutil.which("initdb")
    found = [*versions, *([Path(on_path)] if on_path else [])]
    if not found:
        return "no PostgreSQL server is installed: apt-get install postgresql"
    return found[0].parent


@dataclass
class PostgresServer:
    """One cluster. The server refuses to run as root, so root runs it as ``postgres`` or, without one, ``nobody``."""

    binaries: Path
    folder: Path
    user: int | None

    @classmethod
    def create(cls, binaries: Path) -> PostgresServer:
        # Not below pytest's folder: that one is closed to other users, and its path is too long for a socket.
        folder = Path(tempfile.mkdtemp(prefix="makersmark-pg-"))
        user = None
        if os.geteuid() == 0:
            names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
            user = names.get("postgres", names.get("nobody", 65534))
            os.chown(folder, user, -1)
        server = cls(binaries, folder, user)
        server._run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        server.start()
        return server

    @property
    def running(self) -> bool:
        return (self.folder / "data" / "postmaster.pid").exists()

    def start(self) -> None:
        """Start and wait until it answers; nothing when it runs."""
        if self.running:
            return
        options = f"-c listen_addresses='' -k {self.folder} {QUICK}"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", str(self.folder / "log"), "-o", options, "start"
        )

    def stop(self, mode: str = "immediate") -> None:
        """Stop at once, as a crash does (immediate), or after rolling back what is under way (fast)."""
        if self.running:
            self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "stop")

    def new_database(self) -> str:
        """The URL of a new, empty database. Its password is one that no output may ever show."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._run("createdb", "-h", str(self.folder), "-U", "postgres", name)
        return f"postgresql+psycopg://postgres:planted-pass-word@/{name}?host={self.folder}"

    def destroy(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        # Into a file: the server inherits what pg_ctl was given, and a pipe would stay open for as long as it runs.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                [str(self.binaries / program), *arguments],
                user=self.user,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            )
            if done.returncode:
                said.seek(0)
                raise RuntimeError(f"{program} failed: {said.read().decode(errors='replace')[-2000:]}")
