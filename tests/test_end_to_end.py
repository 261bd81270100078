"""The real thing: the command line, the shipped matrix, the installed torch."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from qatrix.cli import run
from qatrix.cli.collaborators import Collaborators
from qatrix.resources import folder

README = Path(__file__).parents[1] / "README.md"
pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.xdist_group("patterns")]


def results(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "latest/results.json").read_text())
    return loaded


def without_times(case: dict[str, Any]) -> dict[str, Any]:
    """A case's record without what no two runs share."""
    stages = {name: [stage["name"] for stage in item["stages"]] for name, item in case["pipelines"].items()}
    pipelines = {name: {**item, "stages": stages[name]} for name, item in case["pipelines"].items()}
    diagnosis = case["diagnosis"] and {**case["diagnosis"], "seconds": None}
    return {**case, "seconds": None, "pipelines": pipelines, "diagnosis": diagnosis}


SELECTION = (
    *("--case", "conv_bn_fusion/*dim=1*per_channel*"),
    *("--case", "conv_bn_fusion_literal_args/*dim=2*per_tensor*"),
    *("--case", "conv_bn_relu_fusion_no_conv_bias/*dim=2*per_channel*"),
    *("--case", "fold_bn_erases_bn_node/*dim=2*"),
    *("--case", "preserve_source_fn_stack/*dim=1*per_tensor*"),
    *("--case", "conv_bn_bias_derived_qspec/*dim=1*"),
    *("--case", "conv_bn_per_channel_weight_bias/*dim=2*"),
    *("--case", "conv_transpose_bn*dim=2*"),
    *("--case", "conv_transpose_numerics/conv_bn/*dim=1*"),
    *("--case", "per_channel_weight_custom_dtype/*dim=1*"),
    *("--case", "shared_qspec/*"),
    *("--case", "mixing_qat_ptq*"),
    *("--case", "conv_bn_fusion_cuda/*dim=1*per_tensor*"),
)


def run_fresh(out: Path, *argv: str) -> int:
    return run(["run", str(folder("matrix")), "--fresh", "--out", str(out), *SELECTION, *argv], Collaborators())


def test_one_worker_and_the_merged_shards_of_two_workers_have_nothing_unexpected_and_the_same_numbers(
    tmp_path: Path,
) -> None:
    whole, shards, merged = tmp_path / "whole", [tmp_path / "one", tmp_path / "other"], tmp_path / "merged"
    codes = [run_fresh(whole, "--workers", "1")]
    codes += [run_fresh(out, "--workers", "2", "--shard", f"{index}/2") for index, out in enumerate(shards, start=1)]
    codes.append(run(["merge", *(str(out / "latest") for out in shards), "--out", str(merged)], Collaborators()))
    first, second = (results(out)["cases"] for out in (whole, merged))

    assert codes == [0, 0, 0, 0]
    assert [without_times(case) for case in first] == [without_times(case) for case in second]
    assert {case["verdict"] for case in first} >= {"exact", "checked", "diverged", "failed"}
    assert not any(case["unexpected"] for case in first)


def test_the_readme_s_example_is_all_that_new_coverage_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder("matrix"), "matrix")
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), flags=re.DOTALL)
    Path("matrix/mine.yaml").write_text(example)

    assert run(["run", "--case", "my_block"], Collaborators()) == 0
    assert [case["verdict"] for case in results(tmp_path / "reports")["cases"]] == ["exact"] * 8
