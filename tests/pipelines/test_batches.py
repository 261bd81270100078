"""The batches of a case: drawn as they are declared, or out of files, whose faults are told with their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from qatrix.pipelines.batches import build_batches, build_inputs
from qatrix.pipelines.datafiles import DataFault
from qatrix.pipelines.inputs import Batches
from support.cases import written_cases

pytestmark = pytest.mark.torch
ROWS = torch.arange(24, dtype=torch.float32).reshape(6, 4)


def batches_of(folder: Path, given: str, *, axes: str = "") -> Batches:
    """The batches of a case whose inputs are written in the test."""
    text = f"""
patterns: {{written: {{model: torch.nn.Identity, inputs: {given}}}}}
suites: {{written: {{axes: {{pattern: written, quantizer: xnnpack_int8_per_tensor_ptq{axes}}}}}}}
"""
    (case,) = written_cases(folder, text)
    return build_batches(case)


def drawn(folder: Path, item: str) -> Tensor:
    """The one tensor of an input."""
    (tensor,) = batches_of(folder, f"{{x: {item}}}").first.tensors
    return tensor


def test_a_normal_distribution_has_its_mean_and_deviation(tmp_path: Path) -> None:
    usual = drawn(tmp_path, "{shape: [500, 4]}")

    assert torch.equal(drawn(tmp_path, "{shape: [500, 4], values: {normal: [100, 0.03]}}"), usual * 0.03 + 100)


def test_a_uniform_distribution_stays_within_its_bounds(tmp_path: Path) -> None:
    found = drawn(tmp_path, "{shape: [500, 4], values: {uniform: [-2, 3]}}")

    assert -2 <= float(found.min()) < -1.9
    assert 2.9 < float(found.max()) <= 3


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
def test_integers_include_the_lower_bound_and_not_the_upper(tmp_path: Path, dtype: str) -> None:
    found = drawn(tmp_path, f"{{shape: [500], dtype: {dtype}, values: {{integers: [2, 5]}}}}")

    assert found.dtype == getattr(torch, dtype)
    assert set(found.tolist()) == {2, 3, 4}


@pytest.mark.parametrize(("dtype", "value"), [("bool", True), ("float32", 1.0), ("int8", 1)])
def test_a_constant_is_every_value(tmp_path: Path, dtype: str, value: object) -> None:
    assert drawn(tmp_path, f"{{shape: [3], dtype: {dtype}, values: {{constant: 1}}}}").tolist() == [value] * 3


def test_an_outlier_changes_its_channel_alone(tmp_path: Path) -> None:
    usual = drawn(tmp_path, "{shape: [3, 4]}")
    found = drawn(tmp_path, "{shape: [3, 4], values: {outlier: {channel: 2, factor: 30, offset: -1}}}")

    assert torch.equal(found[:, 2], usual[:, 2] * 30 - 1)
    assert torch.equal(found[:, [0, 1, 3]], usual[:, [0, 1, 3]])


def test_a_memory_format_changes_how_values_lie_and_no_value(tmp_path: Path) -> None:
    found = drawn(tmp_path, "{shape: [2, 3, 4, 4], memory_format: channels_last}")

    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, drawn(tmp_path, "{shape: [2, 3, 4, 4]}"))


def test_inputs_nest_and_are_given_by_keyword(tmp_path: Path) -> None:
    given = "{x: {dict: {a: {shape: [2]}, b: {tuple: [{shape: [3]}]}}}, mask: {shape: [4], by: keyword}}"
    inputs = batches_of(tmp_path, given).first
    (batch,) = inputs.args

    assert (batch["a"].shape, batch["b"][0].shape) == ((2,), (3,))
    assert {name: tuple(value.shape) for name, value in inputs.kwargs.items()} == {"mask": (4,)}


def test_the_first_batch_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    given = "{x: {shape: [3, 4]}, y: {shape: [2]}}"
    one = batches_of(tmp_path, given)
    three = batches_of(tmp_path, given, axes=", calibration_batches: 3")

    assert [torch.equal(left, right) for left, right in zip(one.first.tensors, three.first.tensors)] == [True, True]
    assert len(three.more) == 2
    assert not torch.equal(three.first.tensors[0], three.more[0].tensors[0])


def test_without_calibration_there_is_still_a_batch_to_compare(tmp_path: Path) -> None:
    found = batches_of(tmp_path, "{x: {shape: [3, 4]}}", axes=", calibration_batches: 0")

    assert (found.calibrates, found.more, found.calibrating) == (False, (), ())
    assert found.first.tensors[0].shape == (3, 4)


def written_files(folder: Path) -> None:
    """The same rows in files of every kind, and some that are wrong."""
    rows = ROWS.numpy()
    np.savez(folder / "rows.npz", rows=rows, wide=rows.astype("float64"), nothing=rows[:0], nan=rows * np.nan)
    save_file({"rows": ROWS}, folder / "rows.safetensors")
    save_file({"rows": ROWS.reshape(3, 2, 4).contiguous()}, folder / "stacked.safetensors")
    torch.save({"rows": ROWS, "other": ROWS}, folder / "rows.pt")
    torch.save([part.clone() for part in ROWS.chunk(3)], folder / "list.pt")
    torch.save({"rows": "text"}, folder / "text.pt")
    torch.save([{"x": ROWS, "y": ROWS}], folder / "dicts.pt")
    torch.save([(ROWS, ROWS)], folder / "pairs.pt")
    torch.save(ROWS.to(torch.complex64), folder / "complex.pt")
    torch.save(ROWS.to_sparse(), folder / "sparse.pt")
    torch.save(ROWS.to("meta"), folder / "meta.pt")
    torch.save(ROWS[:1, :1].expand(2**20, 2**20), folder / "spread.pt")
    torch.save(nn.Parameter(ROWS), folder / "parameter.pt")
    np.savez(folder / "named.npz", rows=rows, names=np.array(["cat", "dog"]))
    (folder / "folder").mkdir()
    for number, part in enumerate(ROWS.chunk(3)):
        save_file({"rows": part.clone()}, folder / "folder" / f"{number}.safetensors")
    (folder / "junk.npz").write_text("no archive")
    (folder / "junk.pt").write_text("no checkpoint")


@pytest.mark.parametrize(
    "item",
    [
        "{from: rows.npz, key: rows, shape: [2, 4]}",
        "{from: rows.npz, key: rows, batch: 2}",
        "{from: named.npz, key: rows, batch: 2}",
        "{from: parameter.pt, batch: 2}",
        "{from: rows.safetensors, shape: [2, 4]}",
        "{from: rows.pt, key: other, batch: 2, channels: 4}",
        "{from: stacked.safetensors, shape: [2, 4]}",
        "{from: list.pt}",
        "{from: folder}",
        "{from: folder, key: rows, shape: [2, 4]}",
    ],
)
def test_all_batches_of_a_file_calibrate_in_their_order(tmp_path: Path, item: str) -> None:
    written_files(tmp_path)
    found = batches_of(tmp_path, f"{{x: {item}, y: {{shape: [2]}}}}")

    assert torch.equal(torch.cat([batch.args[0] for batch in found.calibrating]), ROWS)
    assert len({batch.args[1] for batch in found.calibrating}) == 3


def test_a_tensor_of_a_file_is_one_batch_where_no_length_is_declared(tmp_path: Path) -> None:
    written_files(tmp_path)

    assert torch.equal(drawn(tmp_path, "{from: rows.safetensors}"), ROWS)


def test_fewer_batches_than_a_file_has_are_its_first(tmp_path: Path) -> None:
    written_files(tmp_path)
    found = batches_of(tmp_path, "{x: {from: list.pt}}", axes=", calibration_batches: 2")

    assert torch.equal(torch.cat([batch.tensors[0] for batch in found.calibrating]), ROWS[:4])


FAULTS = {
    "{from: rows.npz, key: wide, shape: [2, 4]}": "holds float64; expected float32, as declared; save it as that, or",
    "{from: rows.npz, key: nothing, shape: [2, 4]}": r"holds no values: its shape is \[0, 4\]",
    "{from: rows.npz, key: nan, shape: [2, 4]}": "holds 24 of 24 values that are NaN; expected numbers",
    "{from: rows.npz, key: rows, shape: [2, 3]}": r"holds a tensor of the shape \[6, 4\]; expected batches of the shape",
    "{from: rows.npz, key: rows, shape: [4, 4]}": r"holds a tensor of the shape \[6, 4\]; expected batches of the shape",
    "{from: rows.npz, key: rows, batch: 4}": r"the shape \[6, 4\]; expected batches of 4 along its first axis",
    "{from: rows.npz, key: cows, shape: [2, 4]}": "has no 'cows': it holds rows, wide, nothing, nan; expected one of its names",
    "{from: rows.npz, shape: [2, 4]}": "holds rows, wide, nothing, nan; expected the name of one of them as the key",
    "{from: text.pt, shape: [2, 4]}": "holds str 'text' where a tensor is due; expected a tensor",
    "{from: dicts.pt, shape: [2, 4]}": "holds a dict of x, y where a tensor is due; expected a tensor",
    "{from: pairs.pt, shape: [2, 4]}": "holds a tuple of 2 where a tensor is due; expected a tensor",
    "{from: named.npz, key: names, shape: [2, 4]}": r"holds ndarray '\['cat' 'dog'\]' where a tensor is due",
    "{from: complex.pt, shape: [2, 4]}": "holds complex64; expected float32, as declared$",
    "{from: sparse.pt, shape: [2, 4]}": "holds a tensor of the layout torch.sparse_coo; expected a dense tensor",
    "{from: meta.pt, shape: [2, 4]}": "holds a tensor of the device meta; expected a dense tensor",
    "{from: spread.pt, batch: 2}": r"holds a tensor of 4,398,046,511,104 bytes, .*; expected at most 17,179,869,184",
    "{from: junk.npz, shape: [2, 4]}": "cannot be read: BadZipFile: .*; expected a whole .npz file",
    "{from: junk.pt, shape: [2, 4]}": "is no file that torch.save wrote, or holds more than tensors",
}


@pytest.mark.parametrize(("item", "message"), FAULTS.items(), ids=FAULTS)
def test_what_is_wrong_with_a_file_is_told_with_its_place(tmp_path: Path, item: str, message: str) -> None:
    written_files(tmp_path)
    with pytest.raises(DataFault, match=rf"declared at .*written\.yaml:2:\d+ for the input 'x', .*{message}"):
        batches_of(tmp_path, f"{{x: {item}}}")


def test_inputs_with_other_numbers_of_batches_do_not_go_together(tmp_path: Path) -> None:
    written_files(tmp_path)
    given = "{x: {from: list.pt}, y: {from: rows.safetensors}}"
    with pytest.raises(DataFault, match="for the input 'y', has 1 batch, and another input has 3; expected as many"):
        batches_of(tmp_path, given)


def test_more_batches_than_a_file_has_are_told(tmp_path: Path) -> None:
    written_files(tmp_path)
    with pytest.raises(DataFault, match="has 3 batches, and calibration_batches is 4; expected calibration_batches: 3"):
        batches_of(tmp_path, "{x: {from: list.pt}}", axes=", calibration_batches: 4")


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"rows": Runs()}, tmp_path / "rows.pt")
    np.savez(tmp_path / "rows.npz", rows=np.array([Runs()], dtype=object))
    for name in ("rows.pt", "rows.npz"):
        with pytest.raises(DataFault, match="cannot be read"):
            batches_of(tmp_path, f"{{x: {{from: {name}, shape: [1]}}}}")

    assert not (tmp_path / "ran").exists()


def test_a_pt_file_is_refused_where_reading_it_can_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written_files(tmp_path)
    monkeypatch.setattr("qatrix.pipelines.datafiles.RELEASE", (2, 5))
    with pytest.raises(DataFault, match=r"before torch 2\.6 a \.pt or \.pth file can run code"):
        batches_of(tmp_path, "{x: {from: list.pt}}")


def test_the_inputs_of_a_case_are_those_of_its_first_batch(tmp_path: Path) -> None:
    text = """
patterns: {written: {model: torch.nn.Identity, inputs: {x: {shape: [3]}}}}
suites: {written: {axes: {pattern: written, quantizer: xnnpack_int8_per_tensor_ptq, calibration_batches: 2}}}
"""
    (case,) = written_cases(tmp_path, text)

    assert torch.equal(build_inputs(case).tensors[0], build_batches(case).first.tensors[0])
