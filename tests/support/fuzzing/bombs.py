"""Whole files that are right, or nearly, and large where it hurts: products, aliases, powers, long lists of faults."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

# Stands for a quantizer that the matrix has.
QUANTIZER: Final = "QUANTIZER"
_AXES: Final = range(12)
_GROWN: Final = "inputs: {x: {shape: [2, 3]}}, forward: [return a(x)]"


def _suite(axes: str, more: str = "") -> str:
    return f"suites: {{grown: {{axes: {{pattern: grown, quantizer: {QUANTIZER}{axes}}}{more}}}}}\n"


def _pattern(params: str, layer: str) -> str:
    return f"patterns: {{grown: {{params: {{{params}}}, layers: {{a: {json.dumps(layer)}}}, {_GROWN}}}}}\n"


def _product(values: int, more: str = "") -> str:
    """A suite of twelve parameters with so many values each."""
    params = ", ".join(f"k{axis}: 0" for axis in _AXES)
    axes = "".join(f", k{axis}: {list(range(values))}" for axis in _AXES)
    return _pattern(params, "Linear(3, 3)") + _suite(axes, more)


def _checks(names: Sequence[str], used: Sequence[str]) -> str:
    """Checks, and a suite that uses other ones."""
    declared = "".join(f"  {name}: {{at: convert, absent: [relu]}}\n" for name in names)
    return f"checks:\n{declared}suites: {{s: {{axes: {{pattern: a, quantizer: q}}, checks: {used}}}}}\n"


FILES: Final = (
    _product(40),
    _product(40, ", exclude: [{k0: 1, because: it is one}]"),
    _product(10),
    f"suites: {{grown: {{include: [{{pattern: a, k: {list(range(40_000))}}}]}}}}\n",
    # Arithmetic without end, in a layer, by a parameter and by an axis.
    _pattern("n: 9999999999", "Linear(9 ** n, 3)") + _suite(""),
    _pattern("n: 1", "Linear(9 ** n, 3)") + _suite(", n: [1, 9999999999]"),
    _pattern("n: 1", "Linear(3, 3 << n)") + _suite(", n: [9999999999999]"),
    _pattern("s: aaaa", "Linear(s * 99999999999, 3)") + _suite(""),
    _pattern("s: aaaa", "Linear(9 ** +99999999, 3)") + _suite(""),
    _pattern("s: 1.0e+308", "Linear(s * s, 3)") + _suite(""),
    # Aliases of aliases.
    "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
    "a: &a0 {x: y}\n" + "".join(f"b{n}: &a{n} {{<<: *a{n - 1}, c{n}: d}}\n" for n in range(1, 800)),
    # Many of everything.
    "tolerances:\n" + "".join(f"  t{n}: {{rtol: 0.1, atol: 0.1}}\n" for n in range(12_000)),
    "tolerances:\n" + "".join(f"  t{n}: {{rtoll: 0.1, atol: 0.1}}\n" for n in range(12_000)),
    "expected:\n" + "".join(f"  - {{cases: 'none/{n}/*', verdict: failed, because: b}}\n" for n in range(6000)),
    "suites:\n" + "".join(f"  s{n}: {{axes: {{pattern: nothing{n}, quantizer: q}}}}\n" for n in range(4000)),
    "patterns:\n" + "".join(f"  p{n}: {{layers: {{a: 'p{n + 1}()'}}, {_GROWN}}}\n" for n in range(3000)),
    "checks:\n" + "".join(f"  c{n}: {{at: convert, absent: [nothing{n}]}}\n" for n in range(4000)),
    # What is compared with each of many: names with names, expectations with cases, excludes with points.
    _checks([f"{'c' * 60}{n}" for n in range(1500)], [f"{'c' * 60}x{n}" for n in range(300)]),
    _checks(["c" * 1000], ["cd" * 50_000]),
    _pattern("n: 1", "Linear(3, n)")
    + _suite(f", n: {list(range(1, 1000))}")
    + "expected:\n"
    + "".join(f"  - {{cases: '*{n}*/*a*{n}', verdict: failed, because: b}}\n" for n in range(1500)),
    _pattern("n: 1", "Linear(3, n)")
    + _suite(
        f", n: {list(range(1, 1000))}", f", exclude: [{', '.join(f'{{n: {-n}, because: b}}' for n in range(1500))}]"
    ),
    # Names that mean something elsewhere, and long ones.
    _pattern("class: 1", "Linear(3, 3)") + _suite(""),
    "patterns: {none: {model: torchvision.models.resnet18, args: {class: 1}, inputs: {x: {shape: [1, 3, 9, 9]}}}}\n",
    f"patterns:\n  ? {'n' * 100_000}\n  : {{layers: {{a: 'Linear(3, 3)'}}, {_GROWN}}}\n",
    f"suites: {{s: {{axes: {{pattern: {'n' * 100_000}, quantizer: {'q' * 100_000}}}}}}}\n",
    f"suites: {{s: {{about: '{'a ' * 900_000}'}}}}\n",
    "# " + "c" * 1_900_000 + "\n",
    "#\n" * 900_000,
    "[" + "a, " * 190_000 + "a]\n",
    "a:\n" + "".join(f"{' ' * n}a:\n" for n in range(1, 1500)),
)
