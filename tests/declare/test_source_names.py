"""Declared names beside those that a script's own lines use."""

from __future__ import annotations

import ast
import symtable
from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.declare.source import case_source
from qatrix.declare.source.names import Names
from qatrix.declare.spec import Case
from qatrix.expressions import Value
from qatrix.report.repro import own_names, script_text
from support.cases import source_of, written_cases
from support.records import ENVIRONMENT

NASTY = (
    "math",
    "nn",
    "warnings",
    "print",
    "super",
    "float",
    "copy",
    "pytree",
    "textwrap",
    "traceback",
    "operator",
    "torchvision",
    "forward",
    "capture",
    "convert_pt2e",
    "prepare_qat_pt2e",
    "QConfigMapping",
    "XNNPACKQuantizer",
    "default_symmetric_qnnpack_qat_qconfig",
    "ACTIVATION",
    "model",
    "inputs",
    "seen",
    "int",
    "type",
)
CLASSES = (
    "f",
    "none",
    "true",
    "false",
    "exception",
    "valueError",
    "quantizer",
    "x_n_n_p_a_c_k_quantizer",
    "XNNPACKQuantizer",
    "notSwitched",
    "q_config",
    "ACTIVATION",
    "WEIGHT",
    "CONV",
    "conv_bn_shared_qat_quantizer",
    "class",
    "int8_per_channel",
)
PLAIN = 'pattern: {layers: {a: "Linear(3, 3)"}, forward: ["return a(x)"], inputs: {x: {shape: [2, 3]}}}'
QUANTIZERS = ("xnnpack_int8_per_tensor_qat", "conv_bn_cat_shared_qat")


def one_case(tmp_path: Path, pattern: str, quantizer: str = QUANTIZERS[0]) -> Case:
    name, _, body = pattern.partition(": ")
    suites = f'{{written: {{axes: {{pattern: "{name}", quantizer: {quantizer}}}}}}}'
    text = f'patterns:\n  "{name}": {body}\nsuites: {suites}\n'
    (case,) = written_cases(tmp_path, text, shipped=("quantizers.yaml", "checks.yaml"))
    return case


def script(case: Case) -> str:
    made = script_text(source_of(case), environment=ENVIRONMENT)
    compile(made, "repro.py", "exec")
    return made


def bound_at_the_top(text: str) -> list[str]:
    """Every name that imports, functions and classes of the top level bind, as often as they do."""
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found += [item.asname or item.name.partition(".")[0] for item in node.names]
    # `import torch` and `import torchvision.models` bind one name by several statements, rightly.
    return [name for name in found if name not in {"torch", "torchvision"}]


def globals_of(text: str) -> set[str]:
    """What functions and classes read from the top level."""
    rest, found = [symtable.symtable(text, "repro.py", "exec")], set()
    while rest:
        table = rest.pop()
        rest += table.get_children()
        found |= {item.get_name() for item in table.get_symbols() if item.is_referenced() and item.is_global()}
    return found


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_a_name_of_its_own(tmp_path: Path, name: str, quantizer: str) -> None:
    pattern = f'{name}: {{layers: {{a: "Conv2d(3, 3, 1)"}}, forward: ["return F.relu(torch.neg(a(x)))"], inputs: {{x: {{shape: [2, 3, 4, 4]}}}}}}'
    text = script(one_case(tmp_path, pattern, quantizer))
    bound = bound_at_the_top(text)

    assert len(bound) == len(set(bound))
    assert {"F", "torch", "nn"} <= globals_of(text)


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize(
    "pattern",
    [
        '{name: {shape: [2, 3]}}}, forward: ["return F.relu(torch.neg(a(NAME)))"], layers: {a: "Linear(3, 3)"}',
        '{x: {shape: [2, 3]}}}, forward: ["NAME = a(x)", "return F.relu(torch.neg(NAME))"], layers: {a: "Linear(3, 3)"}',
    ],
    ids=["input", "variable"],
)
def test_a_variable_hides_nothing_that_the_script_needs(tmp_path: Path, name: str, pattern: str) -> None:
    inputs, _, rest = pattern.replace("NAME", name).replace("{name:", f"{{{name}:").partition("}, ")
    plain, _, rest_of_plain = pattern.replace("NAME", "y").replace("{name:", "{y:").partition("}, ")
    text = script(one_case(tmp_path, f"pattern: {{inputs: {inputs}, {rest}}}"))
    usual = script(one_case(tmp_path, f"pattern: {{inputs: {plain}, {rest_of_plain}}}"))

    assert sorted(bound_at_the_top(text)) == sorted(bound_at_the_top(usual))
    assert globals_of(text) == globals_of(usual)


@pytest.mark.parametrize("name", ["math", "nn", "warnings", "print", "super", "F", "torch", "copy"])
def test_a_layer_hides_nothing(tmp_path: Path, name: str) -> None:
    text = script(
        one_case(
            tmp_path,
            f'pattern: {{layers: {{{name}: "Linear(3, 3)"}}, forward: ["return F.relu({name}(x))"], inputs: {{x: {{shape: [2, 3]}}}}}}',
        )
    )

    assert f"F.relu(self.{name}(x))" in text


def test_names_that_give_way_stay_apart_from_those_that_do_not() -> None:
    assert Names(frozenset({"math"})).renamed(["math", "math_", "x"]) == {"math": "math__", "math_": "math_", "x": "x"}


def from_factory(tmp_path: Path, factory: str, **arguments: Value) -> Case:
    case = one_case(tmp_path, PLAIN)
    made = replace(case.pattern, layers=(), forward=(), factory=factory, factory_args=arguments)
    return replace(case, pattern=made)


@pytest.mark.parametrize("name", ["class", "lambda", "import"])
def test_an_argument_of_a_factory_may_be_a_word_of_python(tmp_path: Path, name: str) -> None:
    case = from_factory(tmp_path, "torch.nn.PReLU", **{name: 3}, init=0.5)

    assert f'torch.nn.PReLU(**{{"{name}": 3}}, init=0.5)' in script(case)


@pytest.mark.parametrize("about", ["a\0b", "\x1b[31m", 'x"""\nimport os', "\\", "\u2028import os", "\ud800", "'", ""])
def test_no_description_leaves_its_docstring(tmp_path: Path, about: str) -> None:
    case = one_case(tmp_path, PLAIN)
    told = replace(case, pattern=replace(case.pattern, about=about))

    with_text, without = (
        ast.parse(script(item)) for item in (told, replace(case, pattern=replace(case.pattern, about="")))
    )
    for tree in (with_text, without):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and ast.get_docstring(node) is not None:
                del node.body[0]
    assert ast.dump(with_text) == ast.dump(without)


def test_a_module_of_the_user_is_imported_where_no_other_name_can_hide_it(tmp_path: Path) -> None:
    text = script(from_factory(tmp_path, "inputs.models.build"))

    assert "def float_model():\n    import inputs.models\n" in text
    assert "# needs     inputs: run it with PYTHONPATH set to the folder that holds it" in text


def test_a_model_of_torchs_own_needs_nothing_else(tmp_path: Path) -> None:
    assert "# needs" not in script(from_factory(tmp_path, "torchvision.models.resnet18"))


def test_a_name_that_is_taken_is_told_by_the_caller(tmp_path: Path) -> None:
    source = case_source(one_case(tmp_path, PLAIN), taken=own_names() | {"x"})

    assert "def forward(self, x_):" in source.classes[0]
