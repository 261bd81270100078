"""The function that exports the conv-bn patterns, and the modules that bind it by name."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Final

from qatrix.pipelines.torchenv.importing import RELEASE, PackageMissing, imported, installed
from qatrix.pipelines.torchenv.quantization import Pt2eApi, pt2e_api, second_pt2e_api

PATTERN_FUNCTION: Final = "get_aten_graph_module" if RELEASE < (2, 4) else "_get_aten_graph_module_for_pattern"

_MODULES: Final = {
    "torchao": (
        "torchao.quantization.pt2e.utils",
        "torchao.quantization.pt2e.qat_utils",
        "torchao.quantization.pt2e.reference_representation_rewrite",
        "torchao.testing.pt2e._xnnpack_quantizer_utils",
    ),
    "torch.ao": (
        "torch.ao.quantization.pt2e.utils",
        "torch.ao.quantization.pt2e.qat_utils",
        "torch.ao.quantization.pt2e.representation.rewrite",
        "torch.ao.quantization.quantizer.xnnpack_quantizer_utils",
    ),
}
_EXECUTORCH: Final = "executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils"


def pattern_functions() -> tuple[str | None, tuple[types.ModuleType, ...]]:
    """The modules in which that function can be stood in for; or why the pattern cache does not apply here."""
    try:
        bound = tuple(module for module in pattern_modules() if hasattr(module, PATTERN_FUNCTION))
    except PackageMissing as error:
        return f"the pattern cache does not apply, so that cases are slow: {error}", ()
    if not bound:
        home = pt2e_api().home
        return f"the pattern cache does not apply, so that cases are slow: {home} has no {PATTERN_FUNCTION}", ()
    return None, bound


def pattern_modules() -> tuple[types.ModuleType, ...]:
    """The modules of every PT2E in this release, and ExecuTorch's; raises PackageMissing where `pt2e_api` does."""
    found = [imported(name) for api in _apis() for name in _MODULES[api.home]]
    if pt2e_api().home == "torchao" and "executorch" in installed():
        # One that does not import is told of where its class is asked for.
        with contextlib.suppress(PackageMissing):
            found.append(imported(_EXECUTORCH))
    return tuple(found)


def _apis() -> Iterator[Pt2eApi]:
    yield pt2e_api()
    try:
        yield second_pt2e_api()
    except PackageMissing:
        return
