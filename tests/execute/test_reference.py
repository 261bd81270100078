"""References: one pipeline's side, frozen and taken from a file, real pipelines throughout."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from qatrix.declare.spec import Case
from qatrix.errors import ReferenceUnusable
from qatrix.execute.case import run_case
from qatrix.execute.options import Execution
from qatrix.execute.reference import (
    Differs,
    Manifest,
    Reference,
    ReferenceWriter,
    Unfrozen,
    freeze_case,
    open_reference,
)
from qatrix.execute.reference.tensors import Unwritable, digest, output_of, tree_of
from qatrix.execute.workers import torch_ready
from qatrix.outcomes import Record
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.torchenv import environment
from support.cases import shipped_cases
from support.records import make_record, make_skipped

pytestmark = pytest.mark.torch

# Agreement, an error, nothing quantized on one side, training, phases.
SPREAD = (
    "ptq/conv_relu/dim=2*per_channel*",
    "conv_transpose_numerics/conv_bn/*dim=1*per_channel*",
    "conv_transpose_numerics/conv/*dim=1*per_channel*",
    "training_batch_norms_frozen/linear_bn/*",
    "mixing_qat_ptq_numerics/*",
)


class Gone:
    """FX graph mode, as it will be one day."""

    def __getattr__(self, name: str) -> Any:
        msg = f"{name}: FX graph mode is not there any more"
        raise AssertionError(msg)


WITHOUT_FX: Any = {**PIPELINES, "fx": Gone()}


@pytest.fixture(scope="module", autouse=True)
def run() -> Iterator[Callable[..., Record]]:
    """What runs a case, with the patterns of PT2E memoised, and with one thread."""
    threads = torch.get_num_threads()
    with torch_ready(Execution(diagnose="never")) as ready:
        yield ready
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [shipped_cases(glob)[0] for glob in SPREAD]


@pytest.fixture(scope="module")
def records(run: Callable[..., Record], cases: list[Case]) -> dict[str, Record]:
    return {case.case_id: run(case) for case in cases}


@pytest.fixture(scope="module")
def written(cases: list[Case], records: dict[str, Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference of all cases of the spread."""
    return write(tmp_path_factory.mktemp("reference") / "fx.safetensors", cases, records)


def write(path: Path, cases: list[Case], records: dict[str, Record]) -> Path:
    writer = ReferenceWriter()
    for case in cases:
        writer.add(*freeze_case(case, records[case.case_id], "fx"))
    manifest = Manifest(
        pipeline="fx",
        run_id="20261124-101500",
        frozen="2026-11-24T10:15:00+00:00",
        qatrix="0.1.0",
        environment=environment(),
        matrix_digest="one",
        cases=tuple(writer.cases),
        left_out={"s/skipped": "it is skipped, and fx has no side of it: no CUDA device"},
    )
    writer.write(path, manifest)
    return path


def facts(record: Record) -> dict[str, Any]:
    """All of a record but times, notes and the words of a diagnosis."""
    plain = replace(
        record,
        seconds=0.0,
        pipelines={name: replace(item, stages=(), notes=()) for name, item in record.pipelines.items()},
    )
    return {name: getattr(plain, name) for name in ("verdict", "summary", "comparisons", "checks", "pipelines")}


@pytest.mark.parametrize("place", range(len(SPREAD)), ids=SPREAD)
def test_without_fx_a_case_comes_out_as_it_did_with_it(
    place: int, cases: list[Case], records: dict[str, Record], written: Path
) -> None:
    case = cases[place]
    found = run_case(case, WITHOUT_FX, diagnose="never", frozen=open_reference(written))

    assert facts(found) == facts(records[case.case_id])


def test_a_record_says_where_its_reference_came_from(cases: list[Case], written: Path) -> None:
    found = run_case(cases[0], WITHOUT_FX, frozen=open_reference(written))

    assert (
        found.pipelines["fx"].notes[-1] == f"frozen: fx of torch {environment().packages['torch']}, run 20261124-101500"
    )


def test_a_file_is_the_same_whenever_it_is_written(
    cases: list[Case], records: dict[str, Record], written: Path, tmp_path: Path
) -> None:
    assert write(tmp_path / "again.safetensors", cases, records).read_bytes() == written.read_bytes()


def test_graphs_and_quantization_parameters_are_kept(written: Path) -> None:
    frozen = open_reference(written).manifest.cases[0]

    assert set(frozen.graphs) == {"prepare", "convert"}
    assert {item.qscheme for item in frozen.parameters} == {"per_tensor_affine"}
    assert all(item.scale for item in frozen.parameters)


def changed(case: Case) -> dict[str, tuple[Case, str]]:
    return {
        "missing": (replace(case, case_id="s/other"), "it has no such case"),
        "left out": (replace(case, case_id="s/skipped"), "fx has no side of it: no CUDA device"),
        "seed": (replace(case, seed=case.seed + 1), "drawn with another seed"),
        "declaration": (replace(case, convert_in="train"), "now declared differently"),
    }


@pytest.mark.parametrize("name", ["missing", "left out", "seed", "declaration"])
def test_a_case_that_cannot_be_compared_is_unavailable_with_its_reason(
    name: str, cases: list[Case], written: Path
) -> None:
    case, reason = changed(cases[0])[name]
    found = run_case(case, WITHOUT_FX, frozen=open_reference(written))

    assert found.verdict == "unavailable"
    assert reason in (found.reason or "")


def forged(written: Path, tmp_path: Path, **changes: Any) -> Reference:
    """The reference with other facts about its first case."""
    reference = open_reference(written)
    first, *rest = reference.manifest.cases
    writer = ReferenceWriter()
    writer.tensors |= load_file(written)
    path = tmp_path / "forged.safetensors"
    writer.write(path, replace(reference.manifest, cases=(replace(first, **changes), *rest)))
    return open_reference(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"inputs": "other"}, "this torch draws other inputs from the same seed"),
        ({"weights": "other"}, "this torch draws other weights from the same seed"),
    ],
)
def test_other_inputs_and_weights_are_never_compared(
    changes: dict[str, str], reason: str, cases: list[Case], written: Path, tmp_path: Path
) -> None:
    found = run_case(cases[0], WITHOUT_FX, frozen=forged(written, tmp_path, **changes))

    assert (found.verdict, reason in (found.reason or "")) == ("unavailable", True)


def test_a_float_model_that_gives_other_bits_is_noted(cases: list[Case], written: Path, tmp_path: Path) -> None:
    found = run_case(cases[0], WITHOUT_FX, frozen=forged(written, tmp_path, float_model="other"))

    assert found.verdict == "exact"
    assert "bit-identical outputs cannot be expected" in found.pipelines["fx"].notes[-1]


def test_a_difference_that_the_float_model_may_have_too_says_nothing(
    cases: list[Case], written: Path, tmp_path: Path
) -> None:
    first = open_reference(written).manifest.cases[0]
    # The other outputs of the same shape in the file: those after prepare.
    swapped = {point: first.outputs[other] for point, other in (("prepare", "convert"), ("convert", "prepare"))}
    found = run_case(cases[0], WITHOUT_FX, frozen=forged(written, tmp_path, float_model="other", outputs=swapped))

    assert found.verdict == "unavailable"
    assert "may come from that" in (found.reason or "")
    assert found.comparisons[-1].status == "diverged"


def test_what_does_not_give_what_was_recorded_is_not_frozen(cases: list[Case], records: dict[str, Record]) -> None:
    record = records[cases[0].case_id]
    fx = replace(record.pipelines["fx"], sqnr_db=1.0)

    with pytest.raises(Differs, match="run again it has sqnr_db"):
        freeze_case(cases[0], replace(record, pipelines={**record.pipelines, "fx": fx}), "fx")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (make_skipped(), "it is skipped, and fx has no side of it: no CUDA device"),
        (make_record(pipelines={}, verdict="crashed", summary="crashed"), "it is crashed, and fx has no side of it"),
    ],
)
def test_what_has_no_side_is_not_frozen(cases: list[Case], record: Record, reason: str) -> None:
    with pytest.raises(Unfrozen, match=reason):
        freeze_case(cases[0], record, "fx")


def test_a_bit_that_flips_is_found(written: Path, tmp_path: Path) -> None:
    content = bytearray(written.read_bytes())
    content[-1] ^= 1
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(content)

    with pytest.raises(ReferenceUnusable, match=r"is damaged: tensor .* holds other values"):
        open_reference(path).verify()


def with_metadata(written: Path, path: Path, **changes: str) -> Path:
    from safetensors import safe_open

    with safe_open(str(written), framework="pt") as file:
        head = json.loads(file.metadata()["qatrix"])
    save_file(load_file(written), path, {"qatrix": json.dumps({**head, **changes})})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"manifest": "{}"}, "its manifest is not what was written", id="manifest"),
        pytest.param({"version": "7"}, "is a reference of version 7, and this qatrix reads 1", id="version"),
        pytest.param({"format": "weights"}, "holds tensors, but is no reference", id="format"),
        pytest.param(
            {"manifest": "{}", "manifest_sha256": hashlib.sha256(b"{}").hexdigest()}, "of another qatrix", id="fields"
        ),
    ],
)
def test_a_file_of_another_kind_is_refused(
    changes: dict[str, str], message: str, written: Path, tmp_path: Path
) -> None:
    with pytest.raises(ReferenceUnusable, match=message):
        open_reference(with_metadata(written, tmp_path / "other.safetensors", **changes))


def test_a_file_that_is_cut_short_is_refused(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.safetensors"
    path.write_bytes(written.read_bytes()[:-100])

    with pytest.raises(ReferenceUnusable, match="damaged or cut short"):
        open_reference(path)


@pytest.mark.parametrize("content", [b"", b"not tensors", b"\x00" * 4096])
def test_a_file_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)

    with pytest.raises(ReferenceUnusable, match="is no reference"):
        open_reference(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReferenceUnusable, match="there is no reference at"):
        open_reference(tmp_path / "none")


@pytest.mark.parametrize(
    "output",
    [
        torch.randn(2, 3),
        torch.randn(4, 4).T,
        torch.tensor(1.5),
        torch.zeros(0, 3),
        torch.randn(3).to(torch.bfloat16),
        torch.tensor([True, False]),
        (torch.ones(2), [torch.zeros(1), {"a": torch.ones(1, dtype=torch.int64), "b": None}], 3, "text", 0.5),
    ],
)
def test_outputs_come_back_as_they_were(output: object) -> None:
    tensors: dict[str, torch.Tensor] = {}
    found = output_of(tree_of(output, tensors), tensors.__getitem__)

    assert json.dumps(tree_of(found, {})) == json.dumps(tree_of(output, {}))
    assert type(found) is type(output)


def test_equal_tensors_are_kept_once() -> None:
    tensors: dict[str, torch.Tensor] = {}
    tree_of((torch.ones(2), torch.ones(2), torch.ones(2, dtype=torch.float64)), tensors)

    assert len(tensors) == 2
    assert all(digest(tensor) == name for name, tensor in tensors.items())


def test_an_output_of_another_kind_is_refused() -> None:
    with pytest.raises(Unwritable, match="an output holds a object"):
        tree_of((torch.ones(1), object()), {})


def test_qatrix_runs_on_a_torch_without_fx_graph_mode() -> None:
    code = (
        "import sys; sys.modules['torch.ao.quantization.quantize_fx'] = None\n"
        "from qatrix.pipelines import PIPELINES\n"
        "print(PIPELINES['fx'].missing(), '|', PIPELINES['pt2e'].missing())\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    fx, pt2e = ended.stdout.strip().split(" | ")

    assert "quantize_fx" in fx
    assert pt2e == "None"
