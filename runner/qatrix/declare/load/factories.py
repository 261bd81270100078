"""Patterns that a factory makes: what it may be, and what it may be called with."""

from __future__ import annotations

from qatrix.declare.load.registered import allow, read_registered
from qatrix.declare.load.registry import Registry
from qatrix.declare.registered import MODELS as TORCHVISION
from qatrix.declare.registrations import MODELS, registrations
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import Registration
from qatrix.declare.trust import MODEL, Trust, model_kind


def read_factory(registry: Registry, cursor: Cursor, model: models.Pattern, trust: Trust) -> Registration | None:
    """What a distribution registers as the model of a pattern that declares no body, None where none does.

    What is wrong with the pattern is noted. No code of what it names is imported.
    """
    if model.model is None:
        expected = "layers or parameters, and forward; or model: the dotted path of a factory"
        registry.note(cursor.problem("the pattern declares no model", expected=expected))
        return None
    for key in ("layers", "parameters", "buffers", "forward", "params", "init"):
        if cursor.has(key):
            message = f"'{key}' stands beside 'model'"
            expected = "args alone: a factory takes no layers, parameters, buffers, forward, params or init"
            registry.note(cursor.key(key).problem(message, expected=expected))
    at = cursor.down("model")
    # What torchvision registers keeps its name, and needs no search of what is installed.
    if model.model not in TORCHVISION:
        registration = read_registered(registry, at, model.model, MODELS, MODEL.word)
        # To install what registers it is consent to call it with anything.
        if registration is not None:
            return registration
        if not allow(registry, at, model.model, model_kind(registrations(MODELS)), trust):
            return None
    for name, refusal in trust.argument_refusals(model.model, model.args):
        place = at if name is None else cursor.down("args").key(name)
        registry.note(place.problem(refusal.message, expected=refusal.expected, hint=refusal.hint))
    return None
