"""Pages of a single HTML file that needs nothing else: words, tables and pictures, no scripts."""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined

import evenhand
from evenhand.visible import visible


def small_page(template: str, **contents: object) -> str:
    """A page from a template that extends ``small_page.html.j2``; texts are escaped and made harmless."""
    environment = Environment(
        loader=PackageLoader("evenhand.report"), autoescape=True, undefined=StrictUndefined, finalize=_shown
    )
    return environment.get_template(template).render(version=evenhand.__version__, **contents)


def embedded(picture: str) -> str:
    """An SVG picture as the page holds it; "" for none."""
    return base64.b64encode(picture.encode()).decode()


def _shown(value: object) -> object:
    return visible(value) if type(value) is str else value
