"""One forward pass, as every program gets it."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qatrix.judge.outputs import plain
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.torchenv import seed_generators

# Set before each forward of each pipeline, so that dropout draws alike in all of them; the value
# is the one of PyTorch's own PT2E QAT tests.
FORWARD_SEED: Final = 100


def forward(model: nn.Module, inputs: Inputs, *, seed: int = FORWARD_SEED) -> object:
    """The model's outputs for copies of the inputs, which an in-place op may write to."""
    seed_generators(seed)
    return inputs.call(model)


def kept(outputs: object) -> object:
    """Outputs that a later forward pass cannot change, by field: a model may return one of its own buffers."""
    return pytree.tree_map(lambda item: item.detach().clone() if isinstance(item, Tensor) else item, plain(outputs))


def set_training(module: nn.Module, training: bool) -> None:  # noqa: FBT001 - as nn.Module.train
    """Put a model into training or evaluation mode, but for exported programs inside it.

    An exported program keeps the mode that it was captured in, and refuses to be told another.
    """
    if "train" in vars(module):
        return
    module.training = training
    for child in module.children():
        set_training(child, training)
