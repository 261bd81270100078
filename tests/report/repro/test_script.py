"""Scripts of cases, as text: valid Python that imports what it needs, and a header that nothing can leave."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace

import pytest

from qatrix.declare.spec import OwnPipeline, Registration
from qatrix.outcomes import CheckOutcome, Environment, PipelineOutcome, Record
from qatrix.report.repro import expected_lines, script_text
from qatrix.scripts import literal
from support.cases import shipped_cases, source_of
from support.hostile import commands_in
from support.records import (
    ENVIRONMENT,
    HOSTILE,
    make_comparison,
    make_diverged,
    make_error,
    make_failed,
    make_outcome,
    make_record,
)

CASES = {
    "preset": "conv_bn_fusion/conv_bn/dim=2*per_channel*",
    "derived bias": "*/*conv_bn_derived_bias_per_channel_qat*",
    "shared": "shared_qspec/*",
    "int32 weights": "*/*conv_bn_int32_weight_qat*",
    "after training": "ptq*/conv_relu/dim=2*per_channel*",
    "dynamic": "linear_dynamic/*",
    "phases": "mixing_qat_ptq_numerics/*",
    "factory": "resnet18/*per_channel*",
    "training": "training/conv_bn/dim=1*per_channel*train_steps=5*",
    "frozen": "training_batch_norms_frozen/*",
    "second PT2E": "two_pt2e_shared_qspec/*",
    "x86": "x86/conv_bn_relu/*_qat*",
    "x86 after training": "x86/two_linear/*_ptq*",
    "x86 dynamic": "x86_dynamic/*",
    "fixed scales": "fixed_scales/conv_bn/*_qat*",
    "fixed scales after training": "fixed_scales/one_linear/*_ptq*",
    "declared dynamic": "linear_dynamic_declared/*",
    "filled": "batch_norms/conv_bn_relu_gamma/*",
    "bfloat16": "bfloat16/*",
    "free batch": "dynamic_batches/two_linear/*",
    "non-strict": "capture/two_linear/*capture=non_strict,*xnnpack*",
    "non-strict after training": "capture/two_linear/*capture=non_strict,*x86*",
    "saved": "lifecycle/conv_bn_relu/*lifecycle=save_load,*",
    "state of a converted program": "lifecycle/conv_bn_relu/*lifecycle=state_dict,*",
    "state of a calibrated program": "lifecycle/conv_bn_relu/*lifecycle=checkpoint,*",
    "state of a trained program": "lifecycle_training/conv_bn_relu/*lifecycle=checkpoint,*",
    "copied": "lifecycle/conv_bn_relu/*lifecycle=deepcopy,*",
    "copied before training": "lifecycle_training/conv_bn_relu/*lifecycle=deepcopy,*",
    "averaged": "lifecycle_training/conv_bn_relu/*lifecycle=average,*",
    "evaluated in training": "lifecycle_training/conv_bn_relu/*lifecycle=eval_and_train,*",
    "called again": "lifecycle/conv_bn_relu/*lifecycle=repeat,*",
}


def in_torch(version: str) -> Environment:
    return replace(ENVIRONMENT, packages={"torch": version, "torchao": "0.14.0"})


def script_of(name: str, record: Record | None = None, environment: Environment = ENVIRONMENT) -> str:
    case = shipped_cases(CASES[name])[0]
    return script_text(source_of(case), environment=environment, record=record)


def imports_of(script: str) -> set[str]:
    """The packages that a script imports."""
    found = set()
    for node in ast.walk(ast.parse(script)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("version", ["2.3.1", "2.5.1", "2.6.0", "2.9.1", "2.15.0", "unknown"])
@pytest.mark.parametrize("name", CASES)
def test_a_script_is_python_that_imports_torch_and_its_companions_alone(name: str, version: str) -> None:
    script = script_of(name, environment=in_torch(version))

    compile(script, name, "exec")
    assert imports_of(script) - {"torch", "torchao", "torchvision"} <= sys.stdlib_module_names
    # The second PT2E is torch.ao's own, whose cases compare it with torchao's.
    assert ("torchao" in imports_of(script)) == (version not in {"2.3.1", "2.5.1", "2.6.0"})


@pytest.mark.parametrize(
    ("version", "capture"),
    [
        ("2.5.1", "capture_pre_autograd_graph(copy.deepcopy(model), inputs)"),
        ("2.6.0", "torch.export.export_for_training(model, inputs, strict=True)"),
        ("2.15.0", "torch.export.export(model, inputs, strict=True)"),
    ],
)
def test_a_model_is_captured_as_its_release_does(version: str, capture: str) -> None:
    assert capture in script_of("preset", environment=in_torch(version))


def test_without_a_record_a_script_is_ready_for_errors() -> None:
    script = script_of("preset")

    assert "except Exception as error:" in script
    assert "It prints" not in script


def test_with_a_record_a_script_has_what_that_needs_and_says_what_it_prints() -> None:
    record = make_record()
    script = script_of("preset", record)

    assert "except" not in script
    assert all(f"#     {line}" in script for line in expected_lines(record))


def test_a_pipeline_that_fails_is_guarded_alone() -> None:
    script = script_of("preset", make_failed())

    assert script.count("except Exception as error:") == 1
    assert 'report("fx", stage, error)' in script
    # Nothing is compared then.
    assert "def compare" not in script


def test_a_case_whose_float_model_fails_shows_that_alone() -> None:
    record = make_record(verdict="invalid", error=make_error("sizes do not match"), pipelines={}, comparisons=())
    script = script_of("preset", record)

    assert "the float model failed: NotImplementedError: sizes do not match" in script
    assert "def run_pt2e" not in script
    assert "torchao" not in imports_of(script)


def test_a_random_program_is_run_with_a_second_seed() -> None:
    check = CheckOutcome(name="deterministic_eval", pipeline="fx", status="failed")
    record = make_record(verdict="check_failed", checks=(check,))

    assert "is_random(converted[name]" in script_of("preset", record)
    assert "fx: two seeds give two outputs" in expected_lines(record)


def test_a_check_that_fails_shows_the_graphs() -> None:
    check = CheckOutcome(name="no_batch_norm", pipeline="pt2e", status="failed")

    assert "after convert:" in script_of("preset", make_record(checks=(check,)))


def test_what_cannot_be_compared_is_said() -> None:
    record = make_diverged(comparisons=(make_comparison("convert", status="mismatched", max_abs=None),))

    assert "cannot be compared" in script_of("preset", record)
    assert "after convert: cannot be compared" in expected_lines(record)


def test_three_pipelines_are_told_apart() -> None:
    pairs = (("pt2e", "fx"), ("pt2e", "pt2e_torch_ao"), ("fx", "pt2e_torch_ao"))
    record = make_record(
        comparisons=tuple(make_comparison("convert", left=left, right=right) for left, right in pairs),
        pipelines={name: make_outcome(name) for name in ("pt2e", "fx", "pt2e_torch_ao")},
    )
    case = shipped_cases("two_pt2e/conv_relu/*per_channel*")[0]
    script = script_text(source_of(case), environment=in_torch("2.9.1"), record=record)

    assert '"pt2e and pt2e_torch_ao " + "after convert"' in script
    assert "    from torch.ao.quantization.quantize_pt2e import convert_pt2e, prepare_qat_pt2e" in script
    assert expected_lines(record)[1].startswith("pt2e and pt2e_torch_ao after convert: ")


EAGER = OwnPipeline(
    module="eager_pipeline",
    attribute="kinds.Eager",
    registration=Registration(
        name="eager", module="eager_pipeline", attribute="kinds.Eager", distribution="eager-pipeline", version="1.0"
    ),
)


def script_with_own(name: str, *, settings: dict[str, object] | None = None) -> str:
    """The script of a shipped case that a pipeline of a distribution runs beside PT2E."""
    case = shipped_cases(CASES[name])[0]
    told = {"eager-pipeline.eager": settings or {}}
    case = replace(
        case,
        pipelines=("pt2e", "eager-pipeline.eager"),
        own_pipelines={"eager-pipeline.eager": EAGER},
        quantizer=replace(case.quantizer, settings=told),
    )
    script = script_text(source_of(case), environment=ENVIRONMENT)
    ast.parse(script)
    return script


def test_a_pipeline_that_is_not_built_in_is_imported_and_called_as_qatrix_does() -> None:
    script = script_with_own("after training", settings={"bits": 4, "deep": {"sizes": (1, 2)}})

    assert "# needs     eager_pipeline: it comes with eager-pipeline 1.0\n" in script
    assert "def run_eager_pipeline_eager(inputs):" in script
    assert "from eager_pipeline import kinds as pipeline_class\n" in script
    assert 'pipeline = pipeline_class.Eager("ptq", {"bits": 4, "deep": {"sizes": (1, 2)}})\n' in script
    assert "model = pipeline.prepare(model, inputs, {})\n" in script
    assert "converted = pipeline.convert(model)\n" in script
    assert 'if name in ("eager-pipeline.eager",) and not quantize + dequantize:\n' in script


def test_a_pipeline_that_is_not_built_in_is_switched_by_its_own_methods() -> None:
    script = script_with_own("frozen")

    assert "pipeline.freeze_batch_norms(model)\n" in script
    assert 'getattr(pipeline, "to_eval", nn.Module.eval)(model)\n' in script


def test_a_pipeline_that_is_not_built_in_quantizes_parts_too() -> None:
    assert "part = pipeline.prepare(part, part_inputs, {})\n" in script_with_own("phases")


def test_the_accelerator_has_its_own_name_in_a_script() -> None:
    case = shipped_cases(CASES["preset"])[0]
    case = replace(case, device=replace(case.device, torch="accelerator"))
    environment = replace(ENVIRONMENT, devices={"cpu": "one", "xpu": "another"})

    assert '.to("xpu")' in script_text(source_of(case), environment=environment)


def test_a_program_that_is_not_switched_off_says_so_in_the_same_words() -> None:
    error = make_error(
        "the prepared program has no batch norm to switch off", type="qatrix.pipelines.switches.NotSwitched"
    )
    fx = make_outcome("fx", status="failed", failed_stage="train", error=error, quantize_ops=None, sqnr_db=None)
    script = script_of("frozen", make_failed(pipelines={"pt2e": make_outcome("pt2e"), "fx": fx}))

    assert "class NotSwitched(Exception):" in script
    assert "the prepared program has no {kind} to switch off" in script


@pytest.mark.parametrize("text", [HOSTILE, 'x"""\nimport os\n', "\\\nimport os", "\u2028import os", "\rimport os"])
def test_no_text_of_a_record_becomes_code(text: str) -> None:
    error = make_error(text)
    fx: PipelineOutcome = make_outcome("fx", status="failed", failed_stage="prepare", error=error, quantize_ops=None)
    record = make_failed(summary=text, pipelines={"pt2e": make_outcome("pt2e"), "fx": fx})
    case = shipped_cases(CASES["preset"])[0]
    script = script_text(source_of(case), environment=ENVIRONMENT, record=record, checked=text, notes=(text,))

    plain = script_text(source_of(case), environment=ENVIRONMENT, record=make_failed())
    assert ast.dump(ast.parse(script)) == ast.dump(ast.parse(plain))


@pytest.mark.parametrize("command", ["##vso[task.setvariable variable=x]y", "##[group]x"])
def test_a_script_commands_no_log(command: str) -> None:
    source = source_of(shipped_cases(CASES["preset"])[0])
    definition = f"def told():\n    return {literal({'a': command})}\n"
    hostile = replace(
        source, classes=(*source.classes, f'class A:\n    """{command}"""\n', definition), inexpressible={"fx": command}
    )
    script = script_text(hostile, environment=ENVIRONMENT, record=make_failed(summary=command), notes=(command,))

    assert commands_in(script) == []
    assert command in strings_of(script)


def strings_of(script: str) -> set[object]:
    """The values of all literals of a script."""
    return {node.value for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Constant)}


def test_it_needs_no_torch_to_write_a_script() -> None:
    source = source_of(shipped_cases(CASES["phases"])[0])

    assert script_text(source, environment=ENVIRONMENT) == script_text(source, environment=ENVIRONMENT)


@pytest.mark.parametrize(
    ("version", "home"),
    [
        ("2.5.1", "torch.ao.quantization.quantizer.x86_inductor_quantizer"),
        ("2.15.0", "torchao.quantization.pt2e.quantizer.x86_inductor_quantizer"),
    ],
)
def test_the_quantizer_of_x86_comes_from_the_home_that_its_release_has(version: str, home: str) -> None:
    script = script_of("x86", environment=in_torch(version))

    assert f"from {home} import" in script
    assert "from torch.ao.quantization.backend_config.x86 import get_x86_backend_config" in script


def test_a_free_batch_axis_is_captured_as_one() -> None:
    assert "model = capture(model, inputs, dynamic_batch=True)" in script_of("free batch")
    assert "dynamic_batch" not in script_of("preset")


def test_a_model_is_captured_non_strict_where_the_case_says_so() -> None:
    script = script_of("non-strict", environment=in_torch("2.15.0"))

    assert "model = capture(model, inputs, strict=False)" in script
    assert "torch.export.export(model, inputs, strict=strict)" in script


@pytest.mark.parametrize(("version", "left_out"), [("2.6.0", True), ("2.8.0", False)])
def test_a_pt2e_that_takes_strict_captures_alone_is_left_out(version: str, left_out: bool) -> None:
    script = script_of("non-strict", environment=in_torch(version))

    assert ("pt2e is left out: torch.ao's PT2E cannot quantize what is captured non-strict" in script) == left_out
    assert ("def run_pt2e" in script) == (not left_out)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("saved", "converted = saved_and_loaded(converted, inputs)"),
        ("state of a converted program", "converted = with_state_of(converted, fresh)"),
        ("state of a calibrated program", "model = with_state_of(model, fresh)"),
        ("copied", "copied_program = copy.deepcopy(model)"),
        ("averaged", "averaged = AveragedModel(model)"),
        ("evaluated in training", "move_exported_model_to_train(model)"),
        ("called again", 'seen["repeat"] = (seen["convert"], '),
    ],
)
def test_a_script_takes_the_steps_of_its_lifecycle(name: str, step: str) -> None:
    assert step in script_of(name)
    assert step in script_of(name, make_record())
    assert step not in script_of("preset")


def test_a_pipeline_that_a_lifecycle_changes_is_run_without_it_too() -> None:
    message = "after convert it gives other values than without save_load: 0.1 apart"
    failed = CheckOutcome(name="survives_lifecycle", pipeline="fx", status="failed", message=message)
    changed = script_of("saved", make_record(axes={"lifecycle": "save_load"}, checks=(failed,)))

    assert "def run_fx(inputs, lifecycle=True):" in changed
    assert "def run_pt2e(inputs):" in changed
    assert 'if name in ["fx"] and differs(seen[name], run(inputs, lifecycle=False)[0]):' in changed
    assert "#     fx: it gives other values than without save_load" in changed
    assert "lifecycle=" not in script_of("saved", make_record()).partition("def ")[2]


def before(text: str, script: str) -> list[str]:
    """The lines before those that say a text, without their indents."""
    lines = [line.strip() for line in script.splitlines()]
    return [lines[at - 1] for at, line in enumerate(lines) if line == text]


@pytest.mark.parametrize(
    ("name", "calibration"),
    [("after training", "with torch.no_grad():"), ("preset", 'stage = "forward"')],
)
def test_what_pt2e_exports_is_calibrated_and_evaluated_without_gradients(name: str, calibration: str) -> None:
    script = script_of(name)

    # PT2E's comes first, then that of FX graph mode, which has gradients throughout.
    assert before('seen["prepare"] = forward(model, inputs)', script) == [calibration, 'stage = "forward"']
    assert before('seen["convert"] = forward(converted, inputs)', script) == [
        "with torch.no_grad():",
        'stage = "quantized_forward"',
    ]


@pytest.mark.parametrize(("version", "renames"), [("2.5.1", True), ("2.15.0", False)])
def test_captured_names_are_those_of_the_float_model(version: str, renames: bool) -> None:
    script = script_of("training", environment=in_torch(version))

    assert ("A captured module has conv_weight for conv.weight." in script) == renames
