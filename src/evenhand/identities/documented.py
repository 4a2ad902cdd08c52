"""Catalogues of categories that somebody else drew up: a classification, a census, a survey.

Each is a file that says which source its categories are from, and what it leaves out. They hold names alone: no cues
and no first names, because those would be stereotypes of ours.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

from evenhand.identities.base import CATALOGUES, Catalogue

FOLDER = Path(__file__).parent / "data" / "catalogues"

_read = cache(Catalogue.from_toml)

for _file in sorted(FOLDER.glob("*.toml")):
    CATALOGUES.register(_file.stem)(partial(_read, _file))
