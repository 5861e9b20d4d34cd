"""Mutated containers through the real path: ``python -m tests.fuzz --mutations 2000 --seed 1``."""
