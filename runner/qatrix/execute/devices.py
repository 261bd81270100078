"""Which device of this machine a case is for."""

from __future__ import annotations

from dataclasses import replace

from qatrix.declare.spec import Case
from qatrix.pipelines.torchenv import device_called


def on_its_device(case: Case) -> Case:
    """The case with torch's own name of its device: the accelerator of one machine is not that of another."""
    called = device_called(case.device.torch)
    return case if called == case.device.torch else replace(case, device=replace(case.device, torch=called))
