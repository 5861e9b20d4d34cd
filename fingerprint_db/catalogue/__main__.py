"""Prints the catalogue as Markdown: ``python -m fingerprint_db.catalogue > docs/catalogue.md``."""

import sys

from fingerprint_db.catalogue.loader import load_catalogue
from fingerprint_db.catalogue.markdown import to_markdown

if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # a C locale would refuse the dashes
    sys.stdout.write(to_markdown(load_catalogue()))
