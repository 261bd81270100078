from __future__ import annotations

import pkgutil
import typing

import pytest

from qatrix.declare import vocabulary
from qatrix.declare.schema import models

SUSPICIOUS = (
    "load save open file exec eval compile hook apply map numpy storage set_ share pin data_ptr seed generator "
    "backward "
    "register parse import from_ vmap cond while jit script grad thread profiler dlpack typename"
).split()
CALLABLE = ("Dynamic", "Module", "Sequential", "Parallel", "Loss", "Transformer", "Lazy", "ParameterList")


@pytest.mark.parametrize("names", [vocabulary.TORCH_FUNCTIONS, vocabulary.F_FUNCTIONS, vocabulary.TENSOR_METHODS])
def test_no_function_does_more_than_compute(names: frozenset[str]) -> None:
    allowed = {"grid_sample", "affine_grid"}
    assert [name for name in names - allowed if any(word in name for word in SUSPICIOUS)] == []


def test_no_layer_takes_other_modules() -> None:
    assert [name for name in vocabulary.LAYERS if any(word in name for word in CALLABLE)] == []


def test_dtypes_are_those_of_the_schema() -> None:
    assert frozenset(typing.get_args(models.Dtype)) == vocabulary.DTYPES


def test_integer_ranges_are_those_of_the_schema() -> None:
    assert set(vocabulary.INTEGER_RANGES) == set(typing.get_args(models.QuantizedDtype))


@pytest.mark.torch
@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("torch", vocabulary.TORCH_FUNCTIONS | vocabulary.DTYPES),
        ("torch.nn.functional", vocabulary.F_FUNCTIONS),
        ("torch.Tensor", vocabulary.TENSOR_METHODS),
        ("torch.nn", frozenset(name for name in vocabulary.LAYERS if not name.endswith("Nd"))),
        ("torch.ao.quantization.qconfig", vocabulary.QCONFIGS),
    ],
    ids=["torch", "F", "tensor", "nn", "qconfig"],
)
def test_every_name_exists_in_the_installed_torch(module: str, names: frozenset[str]) -> None:
    pytest.importorskip("torch")
    found = pkgutil.resolve_name(module.replace("torch.Tensor", "torch:Tensor"))
    assert sorted(name for name in names if not hasattr(found, name)) == []


@pytest.mark.torch
@pytest.mark.parametrize("backend", typing.get_args(models.Backend))
def test_every_backend_has_its_config_in_the_installed_torch(backend: str) -> None:
    pytest.importorskip("torch")
    # That of x86 is in its own module alone.
    homes = [pkgutil.resolve_name(f"torch.ao.quantization.backend_config{name}") for name in ("", ".x86")]
    assert any(hasattr(home, f"get_{backend}_backend_config") for home in homes)


@pytest.mark.torch
@pytest.mark.parametrize("backend", typing.get_args(models.MappingBackend))
@pytest.mark.parametrize("function", ["get_default_qconfig_mapping", "get_default_qat_qconfig_mapping"])
def test_every_backend_of_a_mapping_has_one_in_the_installed_torch(function: str, backend: str) -> None:
    quantization = pytest.importorskip("torch.ao.quantization")
    assert getattr(quantization, function)(backend).global_qconfig is not None


@pytest.mark.torch
def test_every_attribute_of_a_module_is_refused_as_a_layer_s_name() -> None:
    torch = pytest.importorskip("torch")
    graph = torch.fx.Graph()
    graph.output(None)
    module = torch.fx.GraphModule(torch.nn.Module(), graph)
    public = {name for name in dir(module) if not name.startswith("_")}
    assert public - vocabulary.MODULE_ATTRIBUTES == set()
