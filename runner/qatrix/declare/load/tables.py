"""Tolerances, devices and conv kinds: declarations that refer to no other."""

from __future__ import annotations

import re
from typing import Final

from qatrix.claims import Tolerance
from qatrix.declare.language import nearest, parse_size
from qatrix.declare.language.text import listed
from qatrix.declare.load.registry import BUILT_IN, Declared, Registry, text_at
from qatrix.declare.schema import models
from qatrix.declare.schema.cursor import Cursor
from qatrix.declare.spec import ConvKind, DeviceSpec
from qatrix.declare.vocabulary import CONV_KEYWORDS, CONV_TRANSPOSE_KEYWORDS, DEVICES
from qatrix.errors import Source
from qatrix.expressions import Expression, Literal

_BUILT_IN_SOURCE: Final = Source(file="(built in)", line=1, column=1)
_INDEX: Final = re.compile(r"(:[0-9]{1,3})?")


def read_tolerances(registry: Registry) -> dict[str, Tolerance]:
    """Tolerances by name; float32 is there without being declared."""
    found = {BUILT_IN["tolerances"]: Tolerance()}
    for declared, model in registry.read("tolerances", models.Tolerance):
        found[declared.name] = Tolerance(name=declared.name, rtol=model.rtol, atol=model.atol)
    return found


def read_devices(registry: Registry) -> dict[str, DeviceSpec]:
    """Devices by name; cpu is there without being declared."""
    found = {BUILT_IN["devices"]: DeviceSpec(name="cpu", torch="cpu", source=_BUILT_IN_SOURCE)}
    for declared, model in registry.read("devices", models.Device):
        kind = model.torch.partition(":")[0]
        if kind not in DEVICES or not _INDEX.fullmatch(model.torch.removeprefix(kind)):
            cursor = declared.cursor.down("torch")
            expected = f"{listed(DEVICES)}; with an index where there are several: cuda:1"
            problem = cursor.problem(f"torch is {cursor.found()}", expected=expected, hint=nearest(kind, DEVICES))
            registry.note(problem)
        found[declared.name] = DeviceSpec(name=declared.name, torch=model.torch, source=declared.cursor.source)
    return found


def read_conv_kinds(registry: Registry) -> dict[str, ConvKind]:
    """Conv kinds by name; conv is there without being declared."""
    plain = ConvKind(name="conv", about="convolution", module="ConvNd", args={}, source=_BUILT_IN_SOURCE)
    found = {BUILT_IN["conv_kinds"]: plain}
    for declared, model in registry.read("conv_kinds", models.ConvKind):
        found[declared.name] = ConvKind(
            name=declared.name,
            about=model.about,
            module=model.module,
            args=_conv_arguments(registry, declared, model),
            source=declared.cursor.source,
        )
    return found


def _conv_arguments(registry: Registry, declared: Declared, model: models.ConvKind) -> dict[str, Expression]:
    keywords = CONV_KEYWORDS if model.module == "ConvNd" else CONV_TRANSPOSE_KEYWORDS
    args = declared.cursor.down("args")
    found: dict[str, Expression] = {}
    for name, cursor in declared.cursor.members_of("args"):
        if name not in keywords:
            message = f"{model.module} has no argument '{name}'"
            registry.note(args.key(name).problem(message, expected=listed(keywords), hint=nearest(name, keywords)))
            continue
        expression = read_size(registry, cursor, model.args[name], names=[*CONV_TRANSPOSE_KEYWORDS, "dim"])
        if expression is not None:
            found[name] = expression
    return found


def read_size(registry: Registry, cursor: Cursor, value: object, *, names: list[str]) -> Expression | None:
    """A number, or a text in the language over names, as an expression; None where it is wrong, which is noted."""
    if value is None or isinstance(value, (bool, int, float)):
        return Literal(value)
    expression, problems = parse_size(text_at(cursor), names=names)
    registry.note(*problems)
    return expression
