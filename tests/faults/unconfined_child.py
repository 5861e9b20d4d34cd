"""A sandbox's child on a kernel that grants no isolation at all; run in place of ``cluster.sandbox_child``."""

from __future__ import annotations

import sys

from cluster import sandbox_child
from cluster.isolation import Isolation

if __name__ == "__main__":
    sandbox_child.isolate = lambda writable=(): Isolation()  # type: ignore[attr-defined]
    sys.exit(sandbox_child.main(sys.argv[1:]))
