"""What the installed torch has: names that are missing are told with the command that brings them."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.pipelines import PIPELINES, torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.torchenv import capturing, importing, machine, quantization


def test_the_environment_names_versions_and_devices() -> None:
    environment = torchenv.environment()

    assert environment.packages["torch"] == torch.__version__.partition("+")[0]
    assert set(environment.packages) == {*torchenv.PACKAGES, "qatrix"}
    assert "cpu" in environment.devices


@pytest.mark.parametrize("accelerator", [True, False], ids=["with an accelerator", "without one"])
def test_random_numbers_are_those_of_manual_seed(monkeypatch: pytest.MonkeyPatch, accelerator: bool) -> None:
    monkeypatch.setattr(machine, "_accelerated", lambda: accelerator)
    draws = []
    for seed in (torch.manual_seed, torchenv.seed_generators):
        seed(2**40 + 7)
        draws.append((torch.randn(64), torch.nn.functional.dropout(torch.ones(64))))

    assert all(map(torch.equal, *draws))


def test_a_torch_that_cannot_tell_of_accelerators_may_have_some(monkeypatch: pytest.MonkeyPatch) -> None:
    tell = machine._accelerated.__wrapped__
    assert tell() is torch.accelerator.is_available()
    monkeypatch.delattr(torch, "accelerator")

    assert tell()


def test_nothing_is_kept_of_seeds_for_devices_that_are_not_here() -> None:
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator")
    before = len(torch.cuda._queued_calls)
    torchenv.seed_generators(1)

    assert len(torch.cuda._queued_calls) == before


def test_a_missing_package_is_told_with_the_command_that_brings_it() -> None:
    with pytest.raises(
        torchenv.PackageMissing, match=r"no_such_package\.inside cannot be imported .* pip install no_such_package"
    ):
        torchenv.imported("no_such_package.inside")


def test_a_name_that_the_release_lacks_is_told() -> None:
    with pytest.raises(torchenv.PackageMissing, match="this release of PT2E quantization has no NoSuchQuantizer"):
        torchenv.pt2e_api().find("NoSuchQuantizer")


def test_a_name_that_torch_lacks_is_told_without_a_command() -> None:
    with pytest.raises(
        torchenv.PackageMissing, match=rf"torch {torch.__version__[:4]}\S+ has no torch\.no_such_module"
    ):
        torchenv.imported("torch.no_such_module")


def test_a_module_that_is_here_is_not_imported_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = ModuleType("loaded_before")
    monkeypatch.setitem(sys.modules, "loaded_before", loaded)
    monkeypatch.setattr(importlib, "import_module", None)

    assert importing.imported("loaded_before") is loaded


def test_a_module_that_must_not_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.fx", None)

    with pytest.raises(torchenv.PackageMissing, match=r"has no torch\.fx that can be imported"):
        importing.imported("torch.fx")


@pytest.mark.parametrize(
    ("release", "wanted"), [((2, 9), "torchao==0.17.0"), ((2, 15), "torchao")], ids=["torch 2.9", "torch 2.15"]
)
def test_the_torchao_that_goes_with_a_torch_is_named(
    monkeypatch: pytest.MonkeyPatch, release: tuple[int, int], wanted: str
) -> None:
    monkeypatch.setattr(importing, "RELEASE", release)
    with pytest.raises(torchenv.PackageMissing, match=f"try: pip install {wanted}$"):
        torchenv.imported("torchao.no_such_module")


def test_what_export_imports_late_is_imported_with_pt2e(monkeypatch: pytest.MonkeyPatch) -> None:
    # On torch 2.6 to 2.9 importing it sets an environment variable, which would be a trace of the first case.
    seen: list[str] = []

    def noted(name: str) -> ModuleType:
        seen.append(name)
        return importing.imported(name)

    monkeypatch.setattr(quantization, "imported", noted)
    torchenv.pt2e_api.__wrapped__()

    assert {"torch._inductor.compiler_bisector", "torch._dynamo.package"} <= {*seen}


@pytest.fixture
def old_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This torch, taken for 2.5."""
    caches = (torchenv.pt2e_api, torchenv.second_pt2e_api)
    for module in (capturing, quantization):
        monkeypatch.setattr(module, "RELEASE", (2, 5))
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


without_torch_ao = pytest.mark.skipif(torchenv.RELEASE < (2, 10), reason="torch.ao has PT2E on this release")


@without_torch_ao
def test_torchao_does_not_stand_in_for_torch_ao_unasked(old_torch: None) -> None:
    with pytest.raises(torchenv.PackageMissing, match=r"torch \S+ has no torch\.ao\.quantization\.\S+ that can be"):
        torchenv.pt2e_api()


def test_where_there_is_one_pt2e_the_second_pipeline_says_so(old_torch: None) -> None:
    assert "torch.ao's PT2E is the only one, which pipeline pt2e runs" in str(PIPELINES["pt2e_torch_ao"].missing())


@without_torch_ao
def test_where_torch_ao_has_no_pt2e_any_more_the_second_pipeline_says_so() -> None:
    missing = str(PIPELINES["pt2e_torch_ao"].missing())

    assert missing.startswith("torch.ao's PT2E is gone from torch 2.")
    assert missing.endswith("the last releases that have it are 2.8 and 2.9")


class Captured:
    """As torch 2.5 captures: tensors shared with the model, flattened names, a batch counted."""

    def __init__(self) -> None:
        self.count = 0

    def capture_pre_autograd_graph(
        self, model: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], dynamic_shapes: object
    ) -> fx.GraphModule:
        self.count += 1
        norm = model.get_submodule("0")
        assert isinstance(norm, nn.BatchNorm1d)
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
        flat = nn.Module()
        for name, parameter in norm.named_parameters():
            flat.register_parameter(f"0_{name}", parameter)
        for name, buffer in norm.named_buffers():
            flat.register_buffer(f"0_{name}", buffer)
        graph = fx.Graph()
        for name in flat.state_dict():
            graph.get_attr(name)
        graph.output(None)
        return fx.GraphModule(flat, graph)


@pytest.fixture
def old_programs(old_torch: None, monkeypatch: pytest.MonkeyPatch) -> torchenv.Programs:
    captured = Captured()
    monkeypatch.setattr(capturing, "imported", lambda _: captured)
    return torchenv.capture(nn.Sequential(nn.BatchNorm1d(2)), Inputs.of(torch.ones(3, 2)), dynamic_batch=False)


def test_before_torch_2_6_programs_share_no_tensor(old_programs: torchenv.Programs) -> None:
    first, second = (dict(torchenv.named_tensors(old_programs())) for _ in range(2))

    assert first.keys() == second.keys()
    assert all(first[name] is not second[name] for name in first)


def test_before_torch_2_6_tensors_have_their_names_in_the_float_model(old_programs: torchenv.Programs) -> None:
    names = [name for name, _ in torchenv.named_tensors(old_programs())]

    assert names == ["0.weight", "0.bias", "0.running_mean", "0.running_var", "0.num_batches_tracked"]


def test_before_torch_2_6_capturing_counts_no_batch(old_programs: torchenv.Programs) -> None:
    tensors = dict(torchenv.named_tensors(old_programs()))

    assert int(tensors["0.num_batches_tracked"]) == 0


def test_other_programs_keep_their_names() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2))

    assert [name for name, _ in torchenv.named_tensors(model)] == [*model.state_dict()]


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("cpu", None),
        ("abacus", "this torch knows no device 'abacus'"),
        pytest.param(
            "cuda",
            "no CUDA device here: torch.cuda.is_available() is False",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)
def test_a_device_that_is_not_here_has_a_reason(device: str, reason: str | None) -> None:
    assert torchenv.device_missing(device) == reason


class Backend:
    """A module of torch's for a kind of device, of which there are some."""

    def __init__(self, count: int) -> None:
        self.count = count

    def is_available(self) -> bool:
        return self.count > 0

    def device_count(self) -> int:
        return self.count

    def get_device_name(self) -> str:
        return "Intel Arc"


def accelerator(kind: str | None) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        is_available=lambda: kind is not None,
        current_accelerator=lambda: types.SimpleNamespace(type=kind),
    )


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("xpu", None),
        ("xpu:1", None),
        ("xpu:2", "no device xpu:2 here: torch.xpu.device_count() is 2"),
    ],
)
def test_a_device_is_told_by_its_index_too(monkeypatch: pytest.MonkeyPatch, device: str, reason: str | None) -> None:
    monkeypatch.setattr(torch, "xpu", Backend(2), raising=False)

    assert torchenv.device_missing(device) == reason


def test_a_kind_that_only_backends_knows_is_asked_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "mps", types.SimpleNamespace())
    monkeypatch.setattr(torch.backends, "mps", Backend(0))

    assert torchenv.device_missing("mps") == "no MPS device here: torch.backends.mps.is_available() is False"


def test_the_accelerator_is_the_one_that_torch_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "accelerator", accelerator("xpu"), raising=False)

    assert torchenv.device_missing("accelerator") is None
    assert torchenv.device_called("accelerator") == "xpu"
    assert torchenv.device_called("accelerator:1") == "xpu:1"
    assert torchenv.device_called("cpu") == "cpu"


def test_without_an_accelerator_the_reason_says_who_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "accelerator", accelerator(None), raising=False)

    reason = "no accelerator here: torch.accelerator.is_available() is False"
    assert torchenv.device_missing("accelerator") == reason
    assert torchenv.device_called("accelerator") == "accelerator"


def test_a_torch_that_cannot_tell_its_accelerator_is_asked_for_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "accelerator", raising=False)
    for kind in machine._KINDS:
        monkeypatch.setattr(torch, kind, Backend(0), raising=False)

    assert str(torchenv.device_missing("accelerator")).startswith("no accelerator here: none of cuda, xpu, mps, ")
    monkeypatch.setattr(torch, "xpu", Backend(1))
    assert torchenv.device_called("accelerator") == "xpu"
    assert torchenv.environment().devices["xpu"] == "Intel Arc"


def test_the_quantized_engines_are_listed() -> None:
    assert torchenv.engines()
