"""Finding the users whom a model serves worst."""

from evenhand.searching.found import Condition, Example, Found, SearchResult
from evenhand.searching.search import find_worst
from evenhand.searching.spec import SearchSpec
from evenhand.searching.tabled import search_in

__all__ = ["Condition", "Example", "Found", "SearchResult", "SearchSpec", "find_worst", "search_in"]
