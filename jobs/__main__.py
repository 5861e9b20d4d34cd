"""``python -m jobs`` is the command ``makersmark``."""

from jobs.cli import main

main()
