"""How an open page learns that its place has a newer report: without a server, from a file beside it."""

from __future__ import annotations

import json
from typing import Final

from qatrix.resources import folder

# A script and no JSON, since a page that is a file itself may load the one and not the other.
NEWS: Final = "version.js"
_HEARS: Final = "qatrixVersion"
_LOOKING: Final = "report/live.js"


def news_js(run_id: str) -> str:
    """What stands beside the page of a run: which run that is."""
    return f"{_HEARS}({_literal(run_id)});\n"


def looking_js(run_id: str) -> str:
    """What looks from the page of a run whether its place has another run's."""
    text = (folder("templates") / _LOOKING).read_text(encoding="utf-8")
    names = f'const shown = {_literal(run_id)}, file = "{NEWS}", hears = "{_HEARS}";'
    return f'(() => {{\n"use strict";\n{names}\n{text}}})();\n'


def _literal(text: str) -> str:
    """A text as a script has it, which ends no element of the page."""
    return json.dumps(text).replace("<", "\\u003c")
