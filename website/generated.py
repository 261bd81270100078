"""A page or a file that no one wrote by hand, and how it is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2

from qatrix.text import one_line

_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Generated:
    """The path below the site's folder of pages, and what is in it."""

    path: str
    text: str


def inert(text: object) -> str:
    """Text that Markdown and HTML leave alone: every sign that either could take for markup is an entity."""
    return "".join(sign if sign.isalnum() or sign == " " else f"&#{ord(sign)};" for sign in one_line(str(text)))


def code(text: object) -> str:
    """The same as code."""
    return f"<code>{inert(text)}</code>"


def rendered(template: str, **values: object) -> str:
    """The template with the values. In Markdown `{{ x | inert }}` is what escapes; HTML escapes by itself."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"inert": inert, "code": code}
    return environment.get_template(template).render(values)
