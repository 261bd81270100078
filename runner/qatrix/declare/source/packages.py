"""How a script comes by a package beside PyTorch's."""

from __future__ import annotations

from qatrix.declare.spec import Registration
from qatrix.scripts import OWN_PACKAGE


def package_needed(module: str, registration: Registration | None) -> str:
    """The package of a module, and how to come by it: with a distribution, or as the user's own."""
    way = OWN_PACKAGE
    if registration is not None:
        way = f"it comes with {registration.distribution} {registration.version}"
    return f"{module.partition('.')[0]}: {way}"
