"""Finding the users whom a model serves worst."""

from evenhand.analysis.found import Condition, Example, Found, SearchResult
from evenhand.searching.search import Scope, Search, find_worst
from evenhand.searching.spec import SearchSpec
from evenhand.searching.tabled import search_in

__all__ = [
    "Condition",
    "Example",
    "Found",
    "Scope",
    "Search",
    "SearchResult",
    "SearchSpec",
    "find_worst",
    "search_in",
]
