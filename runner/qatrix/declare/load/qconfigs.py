"""QConfigs of FX graph mode's: by their names, or spelled out."""

from __future__ import annotations

from typing import Final

from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.load.registry import Registry
from qatrix.declare.load.specs import read_tensor
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import Mode, QConfigSpec, TensorSpec
from qatrix.declare.vocabulary import QCONFIGS

FLOAT: Final = "float"
# FX graph mode knows integers by the dtypes of quantized tensors.
_WITHOUT: Final = "int16"


def read_qconfig(registry: Registry, at: Cursor, found: str | models.QConfigSpecs, mode: Mode) -> str | QConfigSpec:
    """A QConfig; what is wrong with it is noted."""
    if isinstance(found, models.QConfigSpecs):
        return _spelled_out(registry, at, found, mode)
    if found not in QCONFIGS:
        hint = nearest(found, QCONFIGS)
        registry.note(at.problem(f"unknown qconfig '{found}'", expected=listed(QCONFIGS), hint=hint))
    return found


def read_part(registry: Registry, at: Cursor, found: str | models.QConfigSpecs, mode: Mode) -> str | QConfigSpec | None:
    """The QConfig of a part of a model, None where that stays in float; what is wrong with it is noted."""
    if found == FLOAT:
        return None
    if isinstance(found, str) and found not in QCONFIGS:
        hint = nearest(found, (FLOAT, *QCONFIGS))
        registry.note(at.problem(f"unknown qconfig '{found}'", expected=f"{FLOAT}, or {listed(QCONFIGS)}", hint=hint))
        return found
    return read_qconfig(registry, at, found, mode)


def _spelled_out(registry: Registry, at: Cursor, found: models.QConfigSpecs, mode: Mode) -> QConfigSpec:
    if found.activation is None and found.weight is None:
        message = "the qconfig quantizes neither activations nor weights"
        registry.note(at.problem(message, expected="activation, weight, or both; or the name of a qconfig"))
    return QConfigSpec(
        activation=_tensor(registry, at, "activation", found.activation, mode),
        weight=_tensor(registry, at, "weight", found.weight, mode),
    )


def _tensor(registry: Registry, at: Cursor, key: str, found: models.TensorSpec | None, mode: Mode) -> TensorSpec | None:
    if found is None:
        return None
    if found.dtype == _WITHOUT:
        message = f"FX graph mode has no quantized tensor of dtype {_WITHOUT}"
        registry.note(at.down(key, "dtype").problem(message, expected="int8, uint8 or int32"))
    if found.group_size is not None:
        message = "FX graph mode has no scales by group"
        registry.note(at.down(key).key("group_size").problem(message, expected="no group_size"))
    return read_tensor(registry, at.down(key), found, mode, of_activations=key == "activation")
