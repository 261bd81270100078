"""Values as text that YAML reads back as the same values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Final

from qatrix.declare.yamltext.scalars import resolve

_BARE: Final = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_ENDLESS: Final[Mapping[str, str]] = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}


def written(value: object) -> str:
    """A value on one line: text is bare where it is like a name and YAML takes it for text, else in quotes."""
    if isinstance(value, str):
        bare = _BARE.fullmatch(value) and isinstance(resolve(value), str)
        return value if bare else _quoted(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{written(key)}: {written(item)}' for key, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    return _number(value) if isinstance(value, float) else json.dumps(value)


def _quoted(text: str) -> str:
    """JSON's text, in which YAML's one escape stands for a character beyond 16 bits, and not JSON's two."""
    return "".join(item if item.isprintable() else _escaped(item) for item in json.dumps(text, ensure_ascii=False))


def _escaped(character: str) -> str:
    return f"\\U{ord(character):08X}"


def _number(number: float) -> str:
    """YAML 1.1 takes 1e-05 for a text, because it has no point."""
    text = repr(number)
    if not math.isfinite(number):
        return _ENDLESS[text]
    mantissa, sign, exponent = text.partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}{sign}{exponent}"
