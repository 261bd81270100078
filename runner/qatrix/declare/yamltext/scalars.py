"""What YAML 1.1 makes of plain text, and the traps in that."""

from __future__ import annotations

import functools
import re
from typing import Any, Final

import yaml

from qatrix.expressions import Scalar

# types-PyYAML leaves these classes without annotations.
_RESOLVER: Final[Any] = yaml.resolver.Resolver()
_CONSTRUCTOR: Final[Any] = yaml.constructor.SafeConstructor()
_EXPONENT: Final = re.compile(r"([-+]?)(\d+\.?\d*|\.\d+)[eE]([-+]?)(\d+)")
_OCTAL: Final = re.compile(r"[-+]?0[0-9_]+")


@functools.lru_cache(maxsize=4096)
def resolve(text: str) -> Scalar:
    """The value of unquoted text: null, a boolean, a number, else the text (dates stay text)."""
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    node = yaml.ScalarNode(tag, text)
    value: Scalar = text
    try:
        if tag == "tag:yaml.org,2002:int":
            value = _CONSTRUCTOR.construct_yaml_int(node)
        elif tag == "tag:yaml.org,2002:float":
            value = _CONSTRUCTOR.construct_yaml_float(node)
        elif tag == "tag:yaml.org,2002:bool":
            value = _CONSTRUCTOR.construct_yaml_bool(node)
        elif tag == "tag:yaml.org,2002:null":
            value = None
    except ValueError:
        # "0b_" and "._" have the form of numbers and are none.
        return text
    return value


def trap(text: str, value: Scalar) -> tuple[str, str] | None:
    """What YAML does to unquoted text that means something else to its reader, and the spelling that works."""
    if isinstance(value, str):
        found = _EXPONENT.fullmatch(text)
        if found:
            return f"YAML reads {text} as text, not as a number", f"write {_with_point(found)}"
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if ":" in text:
        return f"YAML reads {text} as the number {value} (base 60)", f"write '{text}' in quotes"
    if isinstance(value, int) and _OCTAL.fullmatch(text):
        return f"YAML reads {text} as the number {value} (base 8)", f"write {value}, or '{text}' in quotes for the text"
    return None


def _with_point(number: re.Match[str]) -> str:
    """The number as YAML 1.1 wants it: a decimal point, and a sign in the exponent."""
    sign, mantissa, exponent_sign, exponent = number.groups()
    if mantissa.startswith("."):
        mantissa = f"0{mantissa}"
    if "." not in mantissa:
        mantissa += ".0"
    elif mantissa.endswith("."):
        mantissa += "0"
    return f"{sign}{mantissa}e{exponent_sign or '+'}{exponent}"
