"""Settings refuse nonsense with a sentence, and the number of workers respects what the machine grants."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster import ClusterSettings, default_workers
from cluster.settings import _cgroup_quota


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": 0}, "workers is 0; it must be greater than zero"),
        ({"recycle_after": 0}, "recycle_after is 0"),
        ({"max_worker_losses": -1}, "max_worker_losses is -1"),
        ({"executor": "dask"}, "must be 'local' or 'ray'"),
        ({"gpus_per_worker": -0.5}, "must not be negative"),
        ({"object_store_mb": 10}, "at least 80"),
        ({"executor": "ray", "workers": -1}, "workers is -1; it must be zero or more"),
        ({"memory_mb": -1}, "memory_mb is -1"),
        ({"executor": "ray", "workers": 0, "cpus_per_worker": 0.0}, "reserve nothing"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClusterSettings(**{"workers": 1, **wrong})  # type: ignore[arg-type]


def test_the_default_is_one_worker_a_core_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    assert 1 <= default_workers() <= len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert default_workers() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_containers_quota_is_read_in_both_versions_of_cgroup(tmp_path: Path) -> None:
    assert _cgroup_quota(tmp_path) is None
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert _cgroup_quota(tmp_path) is None
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("150000\n")
    assert _cgroup_quota(tmp_path) == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert _cgroup_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("400000 100000\n")
    assert _cgroup_quota(tmp_path) == 4.0
