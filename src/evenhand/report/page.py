"""Pages that need nothing else: one HTML file with its style, its scripts and its charts.

Model output, identities and item texts are hostile: they reach the page as text through Jinja's escaping, or as JSON
in a data block whose ``<`` are escaped, and a content security policy allows only the scripts written here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from evenhand.report import words
from evenhand.visible import all_visible, visible

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(
    template: str,
    specs: Mapping[str, dict[str, Any]],
    scripts: Sequence[str],
    *,
    filters: Mapping[str, Callable[..., object]] | None = None,
    **values: Any,
) -> str:
    """A page.

    Args:
        template: its name.
        specs: charts by name, drawn into the element ``chart-NAME``.
        scripts: names of the scripts that the page runs, besides the charts' library; each is there under its name.
        filters: further filters of the template.
        values: what the template shows.
    """
    environment = Environment(
        loader=PackageLoader("evenhand.report"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        finalize=_shown,
    )
    environment.filters |= {"points": words.points, "signed": words.signed, "interval": words.interval}
    environment.filters |= dict(filters or {})
    library = _chart_library()
    texts = {name: (_TEMPLATES / f"{name}.js").read_text(encoding="utf-8") for name in scripts}
    return environment.get_template(template).render(
        charts=list(specs),
        chart_json=_script_json(all_visible(dict(specs))),
        library=library,
        scripts=texts,
        hashes=[_hash(script) for script in (library, *texts.values())],
        words=words,
        **values,
    )


def _shown(value: object) -> object:
    """A value as a template writes it: what a page would hide is marked; scripts of our own stay as they are."""
    return visible(value) if type(value) is str else value


@cache
def _chart_library() -> str:
    """Vega, Vega-Lite and the embedding, as one script that defines ``window.embedChart``."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.embedChart = vegaEmbed;")
    return str(bundle).replace("</script", "<\\/script")


def _script_json(value: Any) -> str:
    """JSON that stays inert inside a script element, whatever strings it holds."""
    return (
        orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        .decode()
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
