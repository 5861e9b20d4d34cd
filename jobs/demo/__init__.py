"""The demo: an archive of real footage whose makers are known, so that every verdict can be held against the truth.

``python -m jobs.demo`` makes the archive and runs the real command line over it; docs/demo.md says what that shows.
"""

from __future__ import annotations

from jobs.demo.archive import DemoPlan, DemoTruth, make_archive
from jobs.demo.packages import DemoPackageMissing

__all__ = ["DemoPackageMissing", "DemoPlan", "DemoTruth", "make_archive"]
