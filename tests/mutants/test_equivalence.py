"""A proof that two programs are the same refuses whatever differs, on any input, in outputs or in state."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from mutants.equivalence import SIZES, others, proof
from mutants.planting import Kept
from qatrix.pipelines.inputs import Inputs

INPUTS = Inputs.of(torch.linspace(-1, 1, 12).reshape(3, 4))


class Clamping(nn.Module):
    """Its input up to a limit."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(-self.limit, self.limit)


class Remembering(nn.Module):
    """Its input, and a buffer that moves."""

    calls: Tensor

    def __init__(self, step: float, start: float = 0.0) -> None:
        super().__init__()
        self.step = step
        self.register_buffer("calls", torch.tensor(start))

    def forward(self, x: Tensor) -> Tensor:
        moved = self.calls.add_(self.step * torch.ones_like(x).mean())
        return x + moved * 0


def kept(converted: nn.Module, prepared: nn.Module | None = None) -> dict[str, Kept]:
    programs = Kept(whole=prepared is not None, converted=fx.symbolic_trace(converted))
    programs.prepared = None if prepared is None else fx.symbolic_trace(prepared)
    return {"fx": programs}


def test_the_same_program_is_proven_the_same() -> None:
    found = proof(kept(Clamping(1)), kept(Clamping(1)), INPUTS, whole=False)

    assert found == "the converted programs give equal bits for 7 inputs"


def test_what_differs_on_the_inputs_of_the_case_is_no_proof() -> None:
    assert proof(kept(Clamping(1)), kept(Clamping(0.5)), INPUTS, whole=False) is None


def test_what_differs_on_large_inputs_alone_is_no_proof() -> None:
    assert proof(kept(Clamping(50)), kept(Clamping(60)), INPUTS, whole=False) is None


def test_a_negative_zero_is_another_bit() -> None:
    class Negated(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * -0.0

    class Zero(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 0.0

    assert proof(kept(Zero()), kept(Negated()), INPUTS, whole=False) is None


def test_a_state_that_moves_otherwise_is_no_proof() -> None:
    assert proof(kept(Remembering(1)), kept(Remembering(1)), INPUTS, whole=False) is not None
    assert proof(kept(Remembering(1)), kept(Remembering(2)), INPUTS, whole=False) is None


def test_prepared_programs_must_hold_equal_state_as_well() -> None:
    left, right = Remembering(0, start=1.0), Remembering(0, start=2.0)

    assert proof(kept(Clamping(1), left), kept(Clamping(1), left), INPUTS, whole=True) is not None
    assert proof(kept(Clamping(1), left), kept(Clamping(1), right), INPUTS, whole=True) is None
    assert proof(kept(Clamping(1), left), kept(Clamping(1), right), INPUTS, whole=False) is not None


def test_a_program_that_was_not_reached_proves_nothing() -> None:
    assert proof({"fx": Kept(whole=False)}, {"fx": Kept(whole=False)}, INPUTS, whole=False) is None


def test_a_program_that_does_not_run_proves_nothing() -> None:
    broken = kept(nn.Linear(3, 3))

    assert proof(broken, broken, INPUTS, whole=False) is None


def test_proving_leaves_the_programs_as_they_are() -> None:
    programs = kept(Remembering(1))
    proof(programs, programs, INPUTS, whole=False)

    assert programs["fx"].converted is not None
    assert dict(programs["fx"].converted.named_buffers())["calls"] == 0


def test_other_inputs_have_the_shapes_and_the_range_of_those_of_the_case() -> None:
    tokens = torch.tensor([[0, 3, 7]])
    drawn = [given.args for given in others(Inputs.of(*INPUTS.args, tokens))]

    assert len(drawn) == len(SIZES)
    assert {item.shape for item, _ in drawn} == {INPUTS.args[0].shape}
    assert max(float(item.abs().max()) for item, _ in drawn) > 1e4
    assert all(item.dtype == torch.int64 and 0 <= int(item.min()) <= int(item.max()) <= 7 for _, item in drawn)
