"""The PT2E pipeline of torch.ao, where torchao has one too: both are in torch 2.8 and 2.9."""

from __future__ import annotations

from typing import Final

from qatrix.pipelines import torchenv
from qatrix.pipelines.pt2e import Exporting

PIPELINE: Final = Exporting(torchenv.second_pt2e_api)
