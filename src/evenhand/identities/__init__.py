"""Identities: who the user is said to be."""

from evenhand.identities.base import (
    BARE,
    BASELINES,
    CATALOGUES,
    PERSON,
    PLAIN,
    Catalogue,
    catalogues_of,
    make_catalogue,
    registered,
    select,
    without_article,
)
from evenhand.identities.intersections import intersect

__all__ = [
    "BARE",
    "BASELINES",
    "CATALOGUES",
    "PERSON",
    "PLAIN",
    "Catalogue",
    "catalogues_of",
    "intersect",
    "make_catalogue",
    "registered",
    "select",
    "without_article",
]
