"""Showing what a study says: HTML and terminal."""
