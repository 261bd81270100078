"""What the command line says of a model becomes a declaration that loads, or an error that says what is expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case
from qatrix.declare.trial import Trial, TriedInput, arguments, declaration, model_path, suite_of, what_it_names
from qatrix.errors import UsageError

ROOT = Path(__file__).parents[2]


def trial(**changes: object) -> Trial:
    given = {
        "model": "my_package.build",
        "arguments": {},
        "inputs": (TriedInput((1, 3, 8, 8)),),
        "quantizers": ("xnnpack_int8_per_channel_ptq",),
    }
    return Trial(**{**given, **changes})  # type: ignore[arg-type]


def declared(made: Trial, path: Path) -> Case:
    """The one case of a trial's file beside the shipped matrix."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(declaration(made, path, "qatrix try"))
    loaded = load([ROOT / "matrix", path], allowed_modules=[made.model])
    assert loaded.matrix is not None, loaded.problems
    (case,) = select(loaded.matrix, Selection(cases=(suite_of(path),))).cases
    return case


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("1x3x224x224", TriedInput((1, 3, 224, 224))),
        ("7", TriedInput((7,))),
        ("scalar", TriedInput(())),
        ("2x16:int64", TriedInput((2, 16), None, "int64")),
        ("ids=2x16:int64", TriedInput((2, 16), "ids", "int64")),
    ],
)
def test_an_input_is_read(text: str, made: TriedInput) -> None:
    assert TriedInput.of(text) == made


@pytest.mark.parametrize("text", ["", "3by4", "1x", "x3", "-1x3", "1x3:", "=1x3", "1 x 3", "a=b=1", "1x3:int64:x"])
def test_what_is_no_input_is_told_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is no shape; expected 1x3x224x224, ids=2x16:int64"):
        TriedInput.of(text)


@pytest.mark.parametrize("text", ["my_package:build", "my_package.build"])
def test_a_model_has_its_name_behind_a_colon_or_a_dot(text: str) -> None:
    assert model_path(text) == "my_package.build"


@pytest.mark.parametrize(
    "text", ["", "build", ":build", "my_package:", "my package:build", "a:b:c", "a.b()", "a/b.py:c"]
)
def test_what_names_no_model_is_told_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="names no model; expected MODULE:NAME"):
        model_path(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("width=0.5", 0.5), ("n=3", 3), ("bias=true", True), ("name=small", "small"), ("a=b=c", "b=c"), ("empty=", "")],
)
def test_an_argument_is_a_json_value_or_a_text(text: str, value: object) -> None:
    assert list(arguments([text]).values()) == [value]


@pytest.mark.parametrize("text", ["width", "=3", "a-b=3"])
def test_what_is_no_argument_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="expected NAME=VALUE"):
        arguments([text])


def test_an_argument_is_given_once() -> None:
    with pytest.raises(UsageError, match="--arg: 'width' is given twice"):
        arguments(["width=1", "width=2"])


def test_a_keyword_argument_is_an_input_once() -> None:
    with pytest.raises(UsageError, match="--input: 'ids' is given twice"):
        trial(inputs=(TriedInput((1,), "ids"), TriedInput((2,), "ids")))


def test_without_inputs_and_data_nothing_says_what_the_model_is_called_with() -> None:
    with pytest.raises(UsageError, match=r"give --input, such as .*, or --calibrate"):
        trial(inputs=())


def test_a_trial_declares_one_case(tmp_path: Path) -> None:
    case = declared(trial(arguments={"width": 0.5, "name": "a: b # c"}), tmp_path / "try.yaml")

    assert case.case_id == "try/try_build/quantizer=xnnpack_int8_per_channel_ptq,device=cpu"
    assert case.pattern.factory == "my_package.build"
    assert case.pattern.factory_args == {"width": 0.5, "name": "a: b # c"}
    assert [item.name for item in case.pattern.inputs] == ["x"]


def test_inputs_with_names_are_given_by_keyword_and_find_their_data_by_name(tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    data.touch()
    inputs = (TriedInput((4, 3)), TriedInput((4, 2), "mask", "bool"))
    case = declared(trial(inputs=inputs, calibration=data), tmp_path / "m" / "mine.yaml")
    first, second = case.pattern.inputs

    assert (first.name, first.keyword, second.name, second.keyword, second.dtype) == ("x1", False, "mask", True, "bool")
    assert [item.file and (item.file.path, item.file.key) for item in (first, second)] == [
        (str(data), None),
        (str(data), "mask"),
    ]


def test_inputs_by_position_come_first_and_have_names_that_are_free(tmp_path: Path) -> None:
    inputs = (TriedInput((3,), "x1"), TriedInput((4,)))
    case = declared(trial(inputs=inputs), tmp_path / "m" / "mine.yaml")

    assert [(item.name, item.keyword) for item in case.pattern.inputs] == [("x2", False), ("x1", True)]


@pytest.mark.parametrize("word", ["on", "no", "null", "true", "y"])
def test_words_that_yaml_takes_for_values_are_names_all_the_same(tmp_path: Path, word: str) -> None:
    data = tmp_path / "data.npz"
    data.touch()
    made = trial(inputs=(TriedInput((3,), word),), calibration=data, key=word, arguments={word: word})
    case = declared(made, tmp_path / "m" / f"{word}.yaml")
    (only,) = case.pattern.inputs

    assert (case.suite, only.name, only.file and only.file.key) == (word, word, word)
    assert case.pattern.factory_args == {word: word}


@pytest.mark.parametrize("command", ["a\nsuites: {}", "a\rb: 1", "\x1b[2J", "\x85b: 1", "\u2028b: 1", "\x00", "\udcff"])
def test_a_command_stays_in_its_comment(tmp_path: Path, command: str) -> None:
    text = declaration(trial(), tmp_path / "try.yaml", command)

    assert text.startswith("# Declared by: ")
    assert text.splitlines()[1:] == declaration(trial(), tmp_path / "try.yaml", "").splitlines()[1:]
    text.encode()


def test_files_are_named_as_seen_from_the_declaration(tmp_path: Path) -> None:
    weights, data = tmp_path / "weights.pt", tmp_path / "data.pt"
    for file in (weights, data):
        file.touch()
    made = trial(inputs=(), weights=weights, calibration=data, key="images")
    case = declared(made, tmp_path / "matrix" / "1 of mine.yaml")
    (only,) = case.pattern.inputs

    assert case.suite == "try_1_of_mine"
    assert case.pattern.weights is not None
    assert case.pattern.weights.path == str(weights)
    assert only.file is not None
    assert (only.file.path, only.file.key) == (str(data), "images")
    assert "weights: ../weights.pt" in (tmp_path / "matrix" / "1 of mine.yaml").read_text().replace('"', "")


def test_what_a_quantizer_is_made_of_is_named_too(tmp_path: Path) -> None:
    text = """quantizers:
  embeddings: {mode: ptq, pt2e: {quantizer: EmbeddingQuantizer}}
  convs: {mode: ptq, pt2e: {quantizer: XNNPACKQuantizer}}
  both: {mode: ptq, pt2e: {compose: [embeddings, convs]}}
"""
    (tmp_path / "own.yaml").write_text(text)
    loaded = load([tmp_path / "own.yaml"])
    assert loaded.matrix is not None, loaded.problems

    assert what_it_names(trial(quantizers=("both",)), loaded.matrix) == text
