"""One settings object: a TOML file, then the environment, then flags; built by the command line and handed down."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from jobs.decode.protocol import DecoderName
from jobs.uris import carries_secret, safe_uri

ENV_PREFIX = "MAKERSMARK_"
CONFIG_NAME = "makersmark.toml"
ExecutorName = Literal["local", "ray"]


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it and says what is allowed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every knob, with its default. Units are in the names: ``_s`` seconds, ``_mb`` mebibytes.

    home: folder or URI that holds everything embedded (SQLite file, Parquet, snapshots).
    db: SQLAlchemy URL; empty means SQLite inside the home.
    workers: 0 means one a core this process may use; on Ray as many as the cluster has room for at any time.
    executor: ``local`` runs in this process, ``ray`` on actors. ray_address: empty starts Ray on this machine.
    decoder: which library decodes; vectors of different decoders are never compared.
    file_s / stall_s: limits on one file's decoding, in all and without any progress.
    decode_mb: memory limit of a decoding child.
    split_bursts: a video with more bursts than this (64: over ten minutes) is done in ranges of at most so many, by as
    many workers as there are; 0 never splits. split_mb: smaller files are not even asked for their length.
    range_mb: of a remote file of at least this size that is done in ranges, workers read only the bytes that their
    range needs, where that saves; 0 always downloads whole files.
    cpus_per_worker / gpus_per_worker: what a worker on Ray reserves; the GPU share counts where ``device`` is not cpu.
    worker_mb: memory that a worker reserves on a Ray cluster that is joined; 0 means decode_mb and one GiB for itself.
    object_store_mb: shared memory of a Ray runtime that is started here; only kilobytes cross it.
    max_attempts: how often a transient failure is tried before the file is quarantined.
    commit_files / commit_s: a result part is committed after so many files or seconds, whichever comes first.
    lease_s: how long a claimed file stays claimed when its sweep gives no sign of life.
    db_wait_s: how long a running job waits for a PostgreSQL server that went away before it gives up.
    scratch: folder for files fetched from remote stores; empty means the system's.
    """

    home: str = "makersmark-home"
    db: str = ""
    workers: int = 0
    executor: ExecutorName = "local"
    ray_address: str = ""
    decoder: DecoderName = "pyav"
    device: str = "cpu"
    file_s: float = 600.0
    stall_s: float = 60.0
    decode_mb: int = 2048
    split_bursts: int = 64
    split_mb: int = 16
    range_mb: int = 64
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.25
    worker_mb: int = 0
    object_store_mb: int = 100
    max_attempts: int = 3
    commit_files: int = 32
    commit_s: float = 20.0
    lease_s: float = 300.0
    db_wait_s: float = 60.0
    scratch: str = ""

    def __post_init__(self) -> None:
        choices = {"executor": get_args(ExecutorName), "decoder": get_args(DecoderName)}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise SettingsError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}")
        for name in ("file_s", "stall_s", "decode_mb", "max_attempts", "commit_files", "commit_s", "lease_s"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be greater than zero")
        if self.lease_s > 3600:
            raise SettingsError(f"lease_s is {self.lease_s}; it must be 3600 (an hour) or less")
        if self.db_wait_s < 0:
            raise SettingsError(f"db_wait_s is {self.db_wait_s}; it must be zero (do not wait) or more")
        if carries_secret(self.home):
            raise SettingsError(
                f"the home {safe_uri(self.home)} was given with a user, password or query in its address; credentials "
                "go into the environment or the store's own credentials file"
            )
        if self.workers < 0:
            raise SettingsError(f"workers is {self.workers}; it must be zero (one a core) or more")
        for name in ("split_bursts", "split_mb", "range_mb", "worker_mb", "gpus_per_worker"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be zero or more")
        if self.cpus_per_worker <= 0:
            raise SettingsError(f"cpus_per_worker is {self.cpus_per_worker}; it must be greater than zero")
        if self.object_store_mb < 80:
            raise SettingsError(f"object_store_mb is {self.object_store_mb}; Ray needs at least 80")

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL in force."""
        if self.db:
            return self.db
        if "://" in self.home:
            raise SettingsError(
                f"the home {safe_uri(self.home)} is remote, so its database needs a URL of its own: pass --db"
            )
        return f"sqlite:///{Path(self.home).absolute() / 'makersmark.sqlite'}"


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    config: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from defaults, the TOML file, the environment (``MAKERSMARK_HOME`` ...) and flags, later ones winning.

    config: None looks for ``makersmark.toml`` in the working folder. Flags that are None count as not given.
    Raises SettingsError for unknown names and values of the wrong type.
    """
    layers: dict[str, Any] = {}
    path = config if config is not None else Path(CONFIG_NAME)
    if config is not None or path.is_file():
        layers.update(_from_toml(path))
    layers.update(_from_env(os.environ if env is None else env))
    layers.update({name: value for name, value in (flags or {}).items() if value is not None})
    return replace(Settings(), **layers)


def _kinds() -> dict[str, type]:
    return {field.name: type(field.default) for field in fields(Settings)}


def _from_toml(path: Path) -> dict[str, Any]:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the settings file {path} is not valid TOML: {error}") from error
    kinds = _kinds()
    for name, value in raw.items():
        if name not in kinds:
            raise SettingsError(f"{path} sets {name!r}, which is no setting; known: {', '.join(sorted(kinds))}")
        if kinds[name] is float and isinstance(value, int) and not isinstance(value, bool):
            raw[name] = float(value)
        elif type(value) is not kinds[name]:
            raise SettingsError(f"{path} sets {name} to {value!r}; it must be of type {kinds[name].__name__}")
    return raw


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind in _kinds().items():
        text = env.get(ENV_PREFIX + name.upper())
        if text is None or text == "":
            continue
        try:
            found[name] = cast(Any, kind)(text)
        except ValueError as error:
            wanted = f"a value of type {kind.__name__}"
            raise SettingsError(f"{ENV_PREFIX}{name.upper()} is {text!r}; it must be {wanted}") from error
    return found
