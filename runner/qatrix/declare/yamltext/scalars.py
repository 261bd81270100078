"""What YAML 1.1 makes of plain text, and the traps in that."""

from __future__ import annotations

import functools
import math
import re
from typing import Any, Final

import yaml

from qatrix.arithmetic import within_bounds
from qatrix.expressions import Scalar

# types-PyYAML leaves these classes without annotations.
_RESOLVER: Final[Any] = yaml.resolver.Resolver()
_CONSTRUCTOR: Final[Any] = yaml.constructor.SafeConstructor()
_EXPONENT: Final = re.compile(r"([-+]?)(\d+\.?\d*|\.\d+)[eE]([-+]?)(\d+)")
_NUMBERS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# Characters of a number. Converting more takes time with the square of the length, and Python refuses to write them.
_LONGEST_NUMBER: Final = 100
_ENDLESS: Final = re.compile(r"[-+]?\.inf", re.IGNORECASE)
_OCTAL: Final = re.compile(r"[-+]?0[0-9_]+")


@functools.lru_cache(maxsize=4096)
def resolve(text: str) -> Scalar:
    """The value of unquoted text: null, a boolean, a number, else the text (dates stay text)."""
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    if tag in _NUMBERS and len(text) > _LONGEST_NUMBER:
        return text
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
    beyond = _beyond(text, value)
    if beyond is not None:
        return beyond
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


def _beyond(text: str, value: Scalar) -> tuple[str, str] | None:
    """What is wrong with a number that nothing here can hold, None where it can."""
    if isinstance(value, str):
        if len(text) <= _LONGEST_NUMBER or _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) not in _NUMBERS:
            return None
        message = f"this number has {len(text):,} characters"
        return message, f"write at most {_LONGEST_NUMBER}, or put it in quotes for the text"
    if not within_bounds(value):
        return f"the number {text} has more than 64 bits", "write a smaller number, or put it in quotes for the text"
    if isinstance(value, float) and math.isinf(value) and not _ENDLESS.fullmatch(text):
        return f"the number {text} is too large for a float", "write .inf for infinity, or a smaller number"
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
