"""The PT2E pipeline: `torch.export`, then `prepare_pt2e` or `prepare_qat_pt2e`, then `convert_pt2e`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import fx, nn

from qatrix.declare.spec import Composition, Pt2ePreset, QuantizerSpec, TensorSpec
from qatrix.outcomes import QuantizerOrigin
from qatrix.pipelines import torchenv
from qatrix.pipelines.annotation import DeclaredAnnotation
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.quantizers import configurations, made_quantizer, origins, require_built_in
from qatrix.pipelines.switches import require_all_off, require_disabled_observers

# The batch norms that torchao trains (_is_supported_batch_norm_for_training in pt2e/utils.py),
# and where their argument `training` stands.
BATCH_NORMS: Final = (
    torch.ops.aten.batch_norm.default,
    torch.ops.aten._native_batch_norm_legit.default,
    torch.ops.aten.cudnn_batch_norm.default,
    torch.ops.aten.miopen_batch_norm.default,
)
_TRAINING: Final = 5


@dataclass(frozen=True)
class Exporting:
    """A pipeline that exports the model and quantizes the program, with the PT2E that `find_api` returns."""

    find_api: Callable[[], torchenv.Pt2eApi]

    def missing(self) -> str | None:
        """Why this environment lacks that PT2E, None where it is there."""
        try:
            self.find_api()
        except torchenv.PackageMissing as error:
            return str(error)
        return None

    def lacks(self, quantizer: QuantizerSpec) -> str | None:
        """Why a built-in quantizer class is not here, None where all are; imports them, and no unknown code."""
        try:
            require_built_in(quantizer, self.find_api())
        except torchenv.PackageMissing as error:
            return str(error)
        return None

    def inexpressible(self, quantizer: QuantizerSpec) -> str | None:
        """Why PT2E cannot express a quantizer; declared specs it always can."""
        if quantizer.pt2e is None and not quantizer.is_declared and not quantizer.phases:
            return f"quantizer '{quantizer.name}' declares no pt2e preset"
        return None

    def integers(self, quantizer: QuantizerSpec) -> frozenset[tuple[Any, ...]]:
        """The integers of the specs that its quantizer annotates with; code of the user's own is not asked."""
        if quantizer.runs_own_code:
            return frozenset()
        try:
            integers = [_integers(member, self.find_api()) for member in quantizer.members]
        except torchenv.PackageMissing:
            return frozenset()
        # Where one of several does not say, nobody knows them all.
        return frozenset().union(*integers) if all(integers) else frozenset()

    def quantizers(self, quantizer: QuantizerSpec) -> tuple[QuantizerOrigin, ...]:
        """Whose quantizer classes it takes; none for declared specs."""
        return origins(quantizer, self.find_api())

    def capture(
        self, model: nn.Module, inputs: Inputs, *, dynamic_batch: bool, strict: bool = True
    ) -> torchenv.Programs:
        """Makes modules of the exported float model, in the mode (train or eval) that it is in."""
        if not strict:
            self.find_api().require_non_strict()
        torchenv.reset_compiler()
        return torchenv.capture(model, inputs, dynamic_batch=dynamic_batch, strict=strict)

    def prepare(
        self,
        captured: nn.Module,
        inputs: Inputs,
        quantizer: QuantizerSpec,
        *,
        skip_modules: tuple[str, ...],
    ) -> nn.Module:
        """The program with observers (PTQ) or fake quantizes (QAT) where the quantizer annotates."""
        del inputs  # the protocol's: an exported program knows its own
        api = self.find_api()
        prepare_program = api.prepare_qat if quantizer.mode == "qat" else api.prepare
        return prepare_program(captured, _quantizer(quantizer, api, skip_modules))

    def disable_observers(self, prepared: nn.Module) -> None:
        """Switch off the observers of its package; raises NotSwitched where that does nothing."""
        api = self.find_api()
        prepared.apply(api.disable_observer)
        require_disabled_observers(prepared, f"{api.spaces[0].__name__}.disable_observer")

    def freeze_batch_norms(self, prepared: nn.Module) -> None:
        """Set the `training` argument of all batch norms to false in the graph; raises NotSwitched if there are none.

        So does the tutorial of PyTorch, which names fewer ops than an exported program may have.
        https://docs.pytorch.org/ao/stable/tutorials_source/pt2e_quant_qat.html
        """
        assert isinstance(prepared, fx.GraphModule)
        nodes = [node for node in prepared.graph.nodes if node.target in BATCH_NORMS]
        for node in nodes:
            node.args = (*node.args[:_TRAINING], False, *node.args[_TRAINING + 1 :])
        prepared.recompile()
        require_all_off("batch norm", len(nodes), [], "")

    def enable_observers(self, prepared: nn.Module) -> None:
        """Switch the observers of its package on again."""
        prepared.apply(self.find_api().enable_observer)

    def to_eval(self, prepared: nn.Module) -> None:
        """Switch batch norm and dropout of a prepared program to evaluation."""
        self.find_api().to_eval(prepared)

    def to_train(self, prepared: nn.Module) -> None:
        """Switch batch norm and dropout of a prepared program back to training."""
        self.find_api().to_train(prepared)

    def convert(self, prepared: nn.Module, quantizer: QuantizerSpec) -> nn.Module:
        """The program with quantize and dequantize ops or integer arithmetic, batch norm folded."""
        return self.find_api().convert(prepared, **quantizer.convert.arguments)

    def evaluation(self) -> AbstractContextManager[object]:
        """Without gradients, as in PyTorch's own tests: some exported ops, such as scan, cannot run with them."""
        return torch.no_grad()

    def reexport(self, converted: nn.Module, inputs: Inputs) -> nn.Module:
        """The quantized program, exported once more."""
        return self.capture(converted, inputs, dynamic_batch=False)()

    def saved_and_loaded(self, converted: nn.Module, inputs: Inputs, *, dynamic_batch: bool) -> nn.Module:
        """The quantized program, exported, saved and loaded."""
        return torchenv.saved_and_loaded(converted, inputs, dynamic_batch=dynamic_batch)


def _quantizer(spec: QuantizerSpec, api: torchenv.Pt2eApi, skip_modules: tuple[str, ...]) -> Any:
    if spec.pt2e is None:
        return DeclaredAnnotation(spec, api, skip_modules)
    if isinstance(spec.pt2e, Composition):
        return api.find("ComposableQuantizer")([_quantizer(member, api, skip_modules) for member in spec.pt2e.members])
    return made_quantizer(spec.pt2e, api, skip_modules)


def _integers(member: QuantizerSpec, api: torchenv.Pt2eApi) -> set[tuple[Any, ...]]:
    """The integers of the specs by which a quantizer annotates activations and weights."""
    if isinstance(member.pt2e, Pt2ePreset):
        names = ("input_activation", "output_activation", "weight")
        made = configurations(member.pt2e, api)
        specs: list[Any] = [getattr(config, name, None) for config in made for name in names]
        return {(item.dtype, item.quant_min, item.quant_max) for item in specs if hasattr(item, "quant_min")}
    declared = (member.activation, member.weight, *(spec for op in member.ops for spec in op.own))
    return {_used(spec) for spec in declared if spec is not None}


def _used(spec: TensorSpec) -> tuple[Any, ...]:
    """The integers that a declared tensor uses: calculate_qmin_qmax halves a range that is to be reduced."""
    half = 2 if spec.reduce_range else 1
    return getattr(torch, spec.dtype), spec.quant_min // half, spec.quant_max // half


PIPELINE: Final = Exporting(torchenv.pt2e_api)
