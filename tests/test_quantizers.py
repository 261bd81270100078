"""The table of built-in quantizer classes, without torch."""

from __future__ import annotations

import pytest

from qatrix.quantizers import BUILT_IN, Home, homes


def test_xnnpack_is_executorch_s_where_that_is_installed_and_else_torchao_s_copy() -> None:
    short = BUILT_IN["XNNPACKQuantizer"]
    copy, deployed = BUILT_IN["torchao.XNNPACKQuantizer"], BUILT_IN["executorch.XNNPACKQuantizer"]

    assert short.module("torchao", {"executorch"}) == deployed.module("torchao", {"executorch"})
    assert short.module("torchao", {"torchao"}) == copy.module("torchao", {"executorch"})
    assert copy.modules["torchao"] == "torchao.testing.pt2e._xnnpack_quantizer"
    assert deployed.modules["torchao"] == "executorch.backends.xnnpack.quantizer.xnnpack_quantizer"
    assert (short.package, copy.package, deployed.package) == (None, None, "executorch")
    assert (copy.configuration, copy.arguments) == (deployed.configuration, deployed.arguments)


def test_torch_ao_s_xnnpack_has_moved_nowhere() -> None:
    assert BUILT_IN["XNNPACKQuantizer"].module("torch.ao", {"executorch"}).startswith("torch.ao.")


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_mode_whose_flag_a_built_in_takes_is_one_that_it_knows(name: str) -> None:
    known = BUILT_IN[name]
    flags = {"is_qat": "qat", "is_dynamic": "dynamic"}

    assert {"ptq", *(mode for flag, mode in flags.items() if flag in known.arguments)} == known.claims.keys()


@pytest.mark.parametrize("home", ["torchao", "torch.ao"])
def test_scripts_import_from_pytorch_s_packages_by_name_alone(home: Home) -> None:
    found = homes(home)

    assert found["get_default_x86_inductor_quantization_config"].endswith(".x86_inductor_quantizer")
    assert found["XNNPACKQuantizer"] != BUILT_IN["executorch.XNNPACKQuantizer"].modules["torchao"]
    assert all(module.startswith(home) for module in found.values())
    assert ("ArmInductorQuantizer" in found) == (home == "torchao")
