"""Why a runtime is off its reference: the first op that is, and the causes that its values show."""

from __future__ import annotations

from dataclasses import replace

import torch

from qatrix.execute.bisecting import converted_by_fx, departure, unchanged
from qatrix.execute.deployment import Deployed
from qatrix.lowerings import Lowering


def explained(lowering: Lowering, deployed: Deployed) -> Lowering:
    """The lowering with the first departure from its reference, or a note why there is none. Raises nothing."""
    prepared = deployed.use.takes == "prepared"
    reference = converted_by_fx(deployed.program.quantizer) if prepared else unchanged
    with torch.no_grad():
        # A part is of no case, so that what was recorded of one is not asked for.
        program = replace(deployed.program, case_id="")
        found = departure(deployed.lower, program, reference=reference, outputs=deployed.outputs)
    return replace(lowering, first=found.first, notes=(*lowering.notes, *found.notes))
