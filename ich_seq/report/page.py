"""A report as one HTML page that needs nothing else: its style inside, named by its digest in the page's own policy."""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template


def render_page(template: str, styles: tuple[str, ...], **values: Any) -> str:
    """The template of that name, given `values`, `style` and `style_sha256`; every text is escaped, an unknown name is an error."""
    style = "".join(_text(name) for name in styles)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _template(template).render(style=style, style_sha256=digest, **values)


@cache
def _template(name: str) -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_text(name))


def _text(name: str) -> str:
    return (resources.files("ich_seq") / "report" / "templates" / name).read_text(encoding="utf-8")
