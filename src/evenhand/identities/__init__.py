"""Identities: who the user is said to be."""

from evenhand.identities.base import (
    BARE,
    BASELINES,
    CATALOGUES,
    PERSON,
    PLAIN,
    Begun,
    Catalogue,
    catalogues_of,
    make_catalogue,
    registered,
    select,
    without_article,
)
from evenhand.identities.intersections import intersect
from evenhand.identities.languages import ENGLISH, Language, language, languages

__all__ = [
    "BARE",
    "BASELINES",
    "CATALOGUES",
    "ENGLISH",
    "PERSON",
    "PLAIN",
    "Begun",
    "Catalogue",
    "Language",
    "catalogues_of",
    "intersect",
    "language",
    "languages",
    "make_catalogue",
    "registered",
    "select",
    "without_article",
]
