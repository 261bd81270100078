from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qatrix.declare.load import load
from qatrix.declare.registered import LOADING_BACKBONES, MODELS
from qatrix.declare.trust import MODEL, Trust, is_path
from qatrix.errors import Problem

# What runs, loads, saves, downloads, registers, starts processes or changes torch, and what is no model.
HARMFUL = """
    torch.load torch.save torch.hub.load torch.hub.load_state_dict_from_url torch.hub.download_url_to_file torch.hub.list
    torch.hub.set_dir torch.hub.load_local torch.jit.load torch.jit.save torch.jit.script torch.package.PackageImporter
    torch.package.PackageExporter torch.export.load torch.from_file torch.compile torch.UntypedStorage.from_file
    torch.utils.collect_env.run torch.utils.collect_env.main torch.utils.cpp_extension.load
    torch.utils.cpp_extension.load_inline torch.utils.cpp_extension.include_paths torch.utils.model_zoo.load_url
    torch.utils.benchmark.Timer torch.utils.dlpack.from_dlpack torch.utils.data.DataLoader
    torch.utils.bottleneck.__main__.main torch.utils.show_pickle.main torch.utils.model_dump.main
    torch.distributed.run.main torch.distributed.run.run torch.distributed.init_process_group
    torch.distributed.launch.main torch.distributed.elastic.multiprocessing.start_processes torch.distributed.rpc.init_rpc
    torch.multiprocessing.spawn torch.multiprocessing.start_processes torch.ops.load_library torch.classes.load_library
    torch.ops.aten.relu torch.onnx.export torch.testing._internal.common_utils.run_tests torch._dynamo.optimize
    torch._inductor.codecache.CppCodeCache.load torch.set_default_device torch.set_default_dtype torch.manual_seed
    torch.set_num_threads torch.use_deterministic_algorithms torch.library.Library torch.cuda.memory._dump_snapshot
    torch.profiler.profile torch.fx.Interpreter torch.nn.Module torch.nn.Linear torch.nn.Sequential
    torch.serialization.add_safe_globals torch.os.system torch.sys.exit torch.importlib.import_module
    torchvision.models.get_model torchvision.models.get_weight torchvision.models.list_models torchvision.models.ResNet
    torchvision.models.ResNet18_Weights torchvision.models.resnet.resnet18 torchvision.models.resnet._resnet
    torchvision.models.resnet.model_urls torchvision.models._api.register_model torchvision.models._api.get_model
    torchvision.models.resnet.load_state_dict_from_url torchvision.models.swin_transformer.os.system
    torchvision.models.detection.FasterRCNN torchvision.models.detection.backbone_utils.resnet_fpn_backbone
    torchvision.models.quantization.utils.quantize_model torchvision.models.feature_extraction.create_feature_extractor
    torchvision.datasets.CIFAR10 torchvision.datasets.ImageFolder torchvision.datasets.utils.download_url
    torchvision.datasets.utils.extract_archive torchvision.io.read_file torchvision.io.read_image
    torchvision.io.write_file torchvision.ops.MLP torchvision.extension.load_library torchvision.transforms.Lambda
    torchvision.set_image_backend torchvision.prototype.models.depth.stereo.raft_stereo_base
    torchvision.models.resnet18.__globals__ torchvision.models.resnet18x torchvisionx.models.resnet18
    torchao.quantize_ torchao.utils.benchmark_model torchao._models.llama.generate.main torchao.testing.utils.TorchAOBaseTestCase
    torchao.ops.lib torchao.kernel.autotuner.get_best_config_fn
    os.system os.popen subprocess.run subprocess.Popen importlib.import_module builtins.eval builtins.exec
    runpy.run_path pickle.loads shutil.rmtree pty.spawn ctypes.CDLL qatrix.cli.run
""".split()
HARMLESS = [
    *"alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3 maxvit_t mnasnet0_5".split(),
    *"mobilenet_v2 mobilenet_v3_small regnet_y_400mf resnet18 resnet50 resnext50_32x4d squeezenet1_1".split(),
    *"shufflenet_v2_x0_5 swin_t vgg11_bn vit_b_16 wide_resnet50_2".split(),
    *"quantization.resnet18 quantization.mobilenet_v2 video.r3d_18 video.mvit_v2_s optical_flow.raft_small".split(),
    *"segmentation.lraspp_mobilenet_v3_large segmentation.fcn_resnet50 detection.ssd300_vgg16".split(),
    *"detection.ssdlite320_mobilenet_v3_large detection.fasterrcnn_resnet50_fpn_v2".split(),
]
RESNET = "torchvision.models.resnet18"


def problems(tmp_path: Path, model: str, args: str = "{}", consents: tuple[str, ...] = ()) -> tuple[Problem, ...]:
    """What `check` says about a pattern with that factory and those arguments."""
    (tmp_path / "m.yaml").write_text(
        f"patterns:\n  p:\n    model: {model}\n    args: {args}\n    inputs: {{x: {{shape: [1, 3, 64, 64]}}}}\n"
    )
    return load([tmp_path], allowed_modules=consents).problems


@pytest.mark.parametrize("path", HARMFUL)
def test_what_is_no_registered_model_needs_consent(tmp_path: Path, path: str) -> None:
    (problem,) = problems(tmp_path, path)
    assert problem.source is not None
    assert (problem.source.line, problem.source.column) == (3, 12)
    assert problem.message == f"the model '{path}' may not be used without your consent"
    assert (
        problem.expected
        == "a model that torchvision registers, such as torchvision.models.resnet18, or that a distribution does"
    )
    module = path.rpartition(".")[0]
    assert problem.hint is not None
    assert problem.hint.startswith((f"--allow-module {module} allows it", "did you mean 'torchvision.models."))


@pytest.mark.parametrize("path", HARMFUL)
def test_consent_to_the_module_allows_what_is_below(tmp_path: Path, path: str) -> None:
    assert problems(tmp_path, path, consents=(path.rpartition(".")[0],)) == ()


@pytest.mark.parametrize("key", ["quantizer", "config_from"])
@pytest.mark.parametrize("path", HARMFUL[::7])
def test_a_quantizer_and_its_configuration_need_the_same_consent(tmp_path: Path, path: str, key: str) -> None:
    more = "quantizer: XNNPACKQuantizer, " if key == "config_from" else ""
    text = f"quantizers:\n  q: {{mode: ptq, pt2e: {{{more}{key}: {path}}}}}\n"
    (tmp_path / "m.yaml").write_text(text)
    (problem,) = load([tmp_path]).problems
    word = "quantizer" if key == "quantizer" else "configuration function"

    assert problem.message == f"the {word} '{path}' may not be used without your consent"
    assert problem.source is not None
    assert (problem.source.line, problem.source.column) == (2, text.splitlines()[1].index(path) + 1)
    assert load([tmp_path], allowed_modules=(path.rpartition(".")[0],)).problems == ()


@pytest.mark.parametrize("name", HARMLESS)
def test_a_registered_model_without_weights_needs_no_consent(tmp_path: Path, name: str) -> None:
    path = f"torchvision.models.{name}"
    backbone = ", weights_backbone: null" if path in LOADING_BACKBONES else ""
    assert problems(tmp_path, path, f"{{weights: null, num_classes: 10{backbone}}}") == ()


def test_the_tables_are_as_long_as_they_promise() -> None:
    assert len(set(HARMFUL)) >= 40
    assert len(set(HARMLESS)) >= 20


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("torchvision.models.resnet.resnet18", RESNET),
        ("torchvision.models.resnet_18", RESNET),
        ("torchvisionx.models.resnet18", RESNET),
        ("torchvision.resnet18", RESNET),
        ("resnet18", RESNET),
        ("torchvision.models.segmentation.fcn_resnet_50", "torchvision.models.segmentation.fcn_resnet50"),
        ("torchvision.models.quantised.resnet18", "torchvision.models.quantization.resnet18"),
    ],
)
def test_a_model_that_is_almost_registered_is_told(path: str, hint: str) -> None:
    refused = Trust().refusal(path, MODEL)
    assert refused is not None
    assert refused.hint == f"did you mean '{hint}'?"


@pytest.mark.parametrize("path", ["my_package.resnet18", "torch.hub.load", "torchvision.models.get_model"])
def test_any_other_path_gets_the_consent_that_would_do(path: str) -> None:
    refused = Trust().refusal(path, MODEL)
    module = path.rpartition(".")[0]
    assert refused is not None
    assert refused.hint == (
        f"--allow-module {module} allows it: all code of {module} then runs as you;"
        " allow-modules under [tool.qatrix] in pyproject.toml does the same"
    )


@pytest.mark.parametrize(
    ("prefix", "path", "allowed"),
    [
        pytest.param("my_pkg", "my_pkg.net", True, id="below"),
        pytest.param("my_pkg", "my_pkg.deep.down.net", True, id="far below"),
        pytest.param("my_pkg.net", "my_pkg.net", True, id="the callable itself"),
        pytest.param("my_pkg", "my_pkg2.net", False, id="another package that begins alike"),
        pytest.param("my_pkg.models", "my_pkg.other.net", False, id="beside"),
        pytest.param("my_pkg.models.net", "my_pkg.models.network", False, id="another callable that begins alike"),
        pytest.param("my_pkg.models", "my_pkg", False, id="above"),
        pytest.param("", "my_pkg.net", False, id="nothing"),
        pytest.param("my_pkg.", "my_pkg.net", False, id="a dot at the end"),
    ],
)
def test_consent_is_split_at_dots(prefix: str, path: str, allowed: bool) -> None:
    assert Trust((prefix,)).consents(path) == allowed
    assert (Trust((prefix,)).refusal(path, MODEL) is None) == (allowed and "." in path)


@pytest.mark.parametrize(
    "path",
    [
        "", "a.", ".a", "a..b", "a b.c", "a.b()", "a.b; c", "a-b.c", "1a.b", "a.class", "a.\u212f", "a/b", "a.b\n",
        "a." * 100 + "a",
    ],
)  # fmt: skip
def test_what_is_no_dotted_path_is_refused_whatever_the_consent(path: str) -> None:
    assert not is_path(path)
    refused = Trust(("a", path)).refusal(path, MODEL)
    assert refused is not None
    assert "is not a dotted path" in refused.message


@pytest.mark.parametrize(
    ("args", "argument"),
    [
        ("{weights: DEFAULT}", "weights"),
        ("{weights: IMAGENET1K_V1}", "weights"),
        ("{weights: legacy}", "weights"),
        ("{weights: ''}", "weights"),
        ("{weights: true}", "weights"),
        ("{weights: 0}", "weights"),
        ("{weights: [DEFAULT]}", "weights"),
        ("{pretrained: true}", "pretrained"),
        ("{pretrained: 'false'}", "pretrained"),
        ("{weights: null, pretrained: 1}", "pretrained"),
        ("{weights_backbone: DEFAULT}", "weights_backbone"),
        ("{pretrained_backbone: true}", "pretrained_backbone"),
        ("{weights_decoder: DEFAULT}", "weights_decoder"),
        ("{quantize: true}", "quantize"),
    ],
)
def test_a_registered_model_is_called_without_weights(tmp_path: Path, args: str, argument: str) -> None:
    (problem,) = problems(tmp_path, RESNET, args)
    assert f"the argument '{argument}' " in problem.message
    assert problem.source is not None
    assert problem.source.line == 4
    assert problem.hint is not None
    assert problem.hint.startswith(f"--allow-module {RESNET} allows it")


@pytest.mark.parametrize("args", ["{}", "{weights: null}", "{weights: false}", "{pretrained: false, quantize: false}"])
def test_no_weights_may_be_spelled_out_or_left_out(tmp_path: Path, args: str) -> None:
    assert problems(tmp_path, RESNET, args) == ()


@pytest.mark.parametrize("prefix", [RESNET, "torchvision.models", "torchvision"])
def test_consent_to_a_model_allows_its_weights(tmp_path: Path, prefix: str) -> None:
    assert problems(tmp_path, RESNET, "{weights: DEFAULT}", consents=(prefix,)) == ()


@pytest.mark.parametrize("path", sorted(LOADING_BACKBONES))
def test_weights_of_a_backbone_must_be_turned_off_where_they_are_the_default(tmp_path: Path, path: str) -> None:
    (problem,) = problems(tmp_path, path, "{weights: null}")
    assert problem.message == f"'{path}' loads the weights of its backbone unless it is told not to"
    assert problem.expected == "args: {weights: null, weights_backbone: null}"
    assert problems(tmp_path, path, "{weights_backbone: null}") == ()
    assert problems(tmp_path, path, "{pretrained_backbone: false}") == ()
    assert problems(tmp_path, path, "{}", consents=(path,)) == ()


def test_a_consent_is_named_among_what_is_expected() -> None:
    refused = Trust(("mine", "ours.nets")).refusal("theirs.net", MODEL)
    assert refused is not None
    assert refused.expected.endswith(", or what is below mine or ours.nets, as you allow")


def registered() -> dict[str, Callable[..., Any]]:
    """The models that the installed torchvision registers, by the shortest path under which they are public."""
    api: Any = pytest.importorskip("torchvision.models._api")
    return {_public(builder): builder for builder in api.BUILTIN_MODELS.values()}


def _public(builder: Callable[..., Any]) -> str:
    parts = builder.__module__.split(".")
    for length in range(2, len(parts) + 1):
        module = ".".join(parts[:length])
        if getattr(importlib.import_module(module), builder.__name__, None) is builder:
            return f"{module}.{builder.__name__}"
    raise AssertionError(builder)


@pytest.mark.torch
def test_every_registered_model_is_on_the_list() -> None:
    assert registered().keys() - MODELS == set()


@pytest.mark.torch
def test_what_is_on_the_list_and_in_this_release_is_registered() -> None:
    known = registered()
    here = {path for path in MODELS if _has(path)}
    assert here - known.keys() == set()


def _has(path: str) -> bool:
    module, _, name = path.rpartition(".")
    return hasattr(importlib.import_module(module), name)


@pytest.mark.torch
def test_the_models_that_load_backbones_by_default_are_listed() -> None:
    defaults = {
        path: parameter.default
        for path, builder in registered().items()
        for name, parameter in inspect.signature(builder).parameters.items()
        if name.startswith(("weights", "pretrained")) and name != "weights"
    }
    assert {path for path, default in defaults.items() if default is not None} == set(LOADING_BACKBONES)


@pytest.mark.torch
def test_no_registered_model_loads_weights_of_its_own_by_default() -> None:
    builders = registered().values()
    assert {inspect.signature(builder).parameters["weights"].default for builder in builders} == {None}


@pytest.mark.torch
def test_every_argument_of_a_registered_model_is_one_that_was_looked_at() -> None:
    looked_at = {
        *("weights", "weights_backbone", "progress", "kwargs", "num_classes", "num_keypoints", "aux_loss", "quantize"),
        *("trainable_backbone_layers", "norm_layer"),
    }
    names = {name for builder in registered().values() for name in inspect.signature(builder).parameters}
    assert names - looked_at == set()


def test_every_name_that_a_declaration_gives_to_torch_is_on_a_closed_list() -> None:
    from qatrix.declare.schema import models

    fields = {
        "backend_config": models.FxPreset.model_fields["backend_config"],
        "module": models.ConvKind.model_fields["module"],
        "dtype": models.Input.model_fields["dtype"],
        "qscheme": models.TensorSpec.model_fields["qscheme"],
    }
    assert {
        name for name, field in fields.items() if typing.get_origin(field.annotation) is not typing.Literal
    } == set()


@pytest.mark.parametrize(
    "device",
    ["hub", "distributed", "compiler", "os", "cuda:0:1", "cuda:", "cuda:-1", "cuda:9999", "cuda:\u0661", "CUDA"],
)
def test_a_device_is_one_of_torch_s(tmp_path: Path, device: str) -> None:
    (tmp_path / "m.yaml").write_text(f"devices: {{d: {{torch: '{device}'}}}}\n", encoding="utf-8")
    (problem,) = load([tmp_path]).problems
    assert problem.message == f"torch is text '{device}'"
    assert (
        problem.expected
        == "accelerator, cpu, cuda, hpu, mps, mtia, npu, xpu; with an index where there are several: cuda:1"
    )


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", "mps", "xpu:12"])
def test_a_device_may_have_an_index(tmp_path: Path, device: str) -> None:
    (tmp_path / "m.yaml").write_text(f"devices: {{d: {{torch: '{device}'}}}}\n")
    assert load([tmp_path]).problems == ()
