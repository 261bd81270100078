"""What is in examples/: distributions as docs/extending.md promises them, and models as docs/your-model.md does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

from support import warm

# One process has the runs of all of them.
pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("examples")]
ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "examples" / "quantizer-package"
MODELS = ROOT / "examples" / "models"
PIPELINE = ROOT / "examples" / "pipeline-package"
PIPELINE_MATRIX = str(PIPELINE / "matrix.yaml")
RUNTIME = ROOT / "examples" / "runtime-package"
RUNTIME_MATRIX = str(RUNTIME / "matrix.yaml")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel of the quantizer installs, its metadata included."""
    return unpacked(PACKAGE, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def pipeline_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of the pipeline."""
    return unpacked(PIPELINE, tmp_path_factory.mktemp("wheel"))


def unpacked(package: Path, folder: Path) -> Path:
    (wheel,) = WheelBuilder(str(package)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def qatrix(folder: Path, *argv: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**plain, "NO_COLOR": "1"} | ({} if site is None else {"PYTHONPATH": str(site)})
    command = [sys.executable, "-c", "import sys, qatrix.cli; sys.path.pop(0); qatrix.cli.main()", *argv]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_of_the_quantizer_package_holds_its_module_and_its_metadata(site: Path) -> None:
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}

    assert "linear_quantizer.py" in files
    assert "linear_quantizer-1.0.dist-info/entry_points.txt" in files
    assert "matrix.yaml" not in files


def test_its_matrix_is_right_where_it_is_installed_and_nowhere_else(site: Path, tmp_path: Path) -> None:
    here = qatrix(tmp_path, "check", str(PACKAGE / "matrix.yaml"), site=site)
    elsewhere = qatrix(tmp_path, "check", str(PACKAGE / "matrix.yaml"))

    assert (here.returncode, here.stderr) == (0, "")
    assert elsewhere.returncode == 2
    assert "unknown quantizer 'LinearQuantizer'" in elsewhere.stderr


def test_checking_and_listing_import_neither_torch_nor_the_package(site: Path, tmp_path: Path) -> None:
    for name in ("torch", "linear_quantizer"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    listing = f"{tmp_path}{os.pathsep}{site}"
    for verb in ("check", "list"):
        ended = qatrix(tmp_path, verb, str(PACKAGE / "matrix.yaml"), site=Path(listing))
        assert ended.returncode == 0, ended.stderr


@pytest.mark.torch
@pytest.mark.slow
def test_its_cases_run_and_their_records_say_whose_class_it_was(site: Path, tmp_path: Path) -> None:
    ended = warm.command(tmp_path, "run", str(PACKAGE / "matrix.yaml"), "--fresh", "--workers", "0", path=[site])
    results = json.loads((tmp_path / "reports/latest/results.json").read_text())

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert {case["verdict"] for case in results["cases"]} == {"checked"}
    assert [case["pipelines"]["pt2e"]["quantize_ops"] for case in results["cases"]] == [4, 4]
    assert results["cases"][0]["pipelines"]["pt2e"]["quantizers"] == [
        {
            "name": "LinearQuantizer",
            "module": "linear_quantizer",
            "distribution": "linear-quantizer",
            "version": "1.0",
        }
    ]


def test_the_models_of_other_libraries_are_declared_right_and_every_difference_has_its_cause(tmp_path: Path) -> None:
    for name in ("torch", "timm", "transformers", "tiny_transformers"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    consents = ("--allow-module", "timm", "--allow-module", "tiny_transformers")
    checked = qatrix(tmp_path, "check", str(MODELS), *consents, site=tmp_path)
    listed = qatrix(tmp_path, "list", str(MODELS), *consents, site=tmp_path)

    assert (checked.returncode, checked.stderr) == (0, "")
    assert {line.split("/")[0] for line in listed.stdout.splitlines() if "/" in line} == {
        "timm",
        "torchvision",
        "transformers",
        "transformers_pt2e",
    }


def test_the_models_of_other_libraries_need_consent(tmp_path: Path) -> None:
    refused = qatrix(tmp_path, "check", str(MODELS))

    assert refused.returncode == 2
    assert "--allow-module timm allows it" in refused.stderr
    assert "--allow-module tiny_transformers allows it" in refused.stderr


def test_the_page_shows_the_class_as_it_is() -> None:
    page = (ROOT / "docs" / "extending.md").read_text()

    assert f"```python\n{(PACKAGE / 'linear_quantizer.py').read_text()}```" in page
    assert '[project.entry-points."qatrix.quantizers"]\nLinearQuantizer = "linear_quantizer:LinearQuantizer"' in page
    assert '[project.entry-points."qatrix.quantizers"]\n' in (PACKAGE / "pyproject.toml").read_text()


def test_the_wheel_of_the_pipeline_package_holds_its_module_and_its_metadata(pipeline_site: Path) -> None:
    files = {path.relative_to(pipeline_site).as_posix() for path in pipeline_site.rglob("*") if path.is_file()}

    assert "eager_pipeline.py" in files
    assert "eager_pipeline-1.0.dist-info/entry_points.txt" in files


def test_the_pipelines_matrix_is_right_where_it_is_installed_and_nowhere_else(
    pipeline_site: Path, tmp_path: Path
) -> None:
    here = qatrix(tmp_path, "check", PIPELINE_MATRIX, site=pipeline_site)
    elsewhere = qatrix(tmp_path, "check", PIPELINE_MATRIX)

    assert (here.returncode, here.stderr) == (0, "")
    assert elsewhere.returncode == 2
    assert "unknown pipeline 'eager'" in elsewhere.stderr
    assert "unknown key 'eager'" in elsewhere.stderr


def test_checking_and_listing_import_neither_torch_nor_the_pipeline(pipeline_site: Path, tmp_path: Path) -> None:
    for name in ("torch", "eager_pipeline"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    listing = Path(f"{tmp_path}{os.pathsep}{pipeline_site}")
    listed = qatrix(tmp_path, "list", PIPELINE_MATRIX, site=listing)

    assert qatrix(tmp_path, "check", PIPELINE_MATRIX, site=listing).returncode == 0
    assert listed.stdout.splitlines() == [
        "eager/perceptron/quantizer=linear_int8,device=cpu",
        "eager/perceptron/quantizer=linear_int4,device=cpu",
        "eager/scaled/quantizer=linear_int8,device=cpu",
        "eager/scaled/quantizer=linear_int4,device=cpu",
    ]


@pytest.fixture(scope="module")
def pipeline_run(pipeline_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the pipeline's matrix."""
    folder = tmp_path_factory.mktemp("run")
    ended = warm.command(folder, "run", PIPELINE_MATRIX, "--fresh", "--workers", "0", path=[pipeline_site])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def results_of(folder: Path) -> list[Any]:
    found: list[Any] = json.loads((folder / "reports/latest/results.json").read_text())["cases"]
    return found


OFF = "eager/scaled/quantizer=linear_int4,device=cpu"


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.xdist_group("pipeline_package")
def test_the_pipeline_gives_what_pt2e_gives_and_its_record_says_whose_it_was(pipeline_run: Path) -> None:
    cases = results_of(pipeline_run)

    assert [case["verdict"] for case in cases] == ["exact", "diverged", "exact", "diverged"]
    assert not any(case["unexpected"] for case in cases)
    assert cases[0]["pipelines"]["eager"]["origin"] == {
        "name": "Eager",
        "module": "eager_pipeline",
        "distribution": "eager-pipeline",
        "version": "1.0",
    }


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.xdist_group("pipeline_package")
def test_a_case_of_the_pipeline_is_shown(pipeline_run: Path, pipeline_site: Path) -> None:
    shown = warm.command(pipeline_run, "show", OFF, PIPELINE_MATRIX, path=[pipeline_site])

    assert shown.returncode == 0, shown.stderr
    assert "eager: ok, SQNR 20." in shown.stdout
    assert "dB, of eager-pipeline 1.0" in shown.stdout
    assert "First difference after convert: first." in shown.stdout


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.xdist_group("pipeline_package")
def test_a_script_imports_the_pipeline_and_shows_what_the_record_says(pipeline_run: Path, pipeline_site: Path) -> None:
    made = warm.command(pipeline_run, "repro", OFF, PIPELINE_MATRIX, "--out", "-", path=[pipeline_site])

    assert made.returncode == 0, made.stdout + made.stderr
    assert "# needs     eager_pipeline: it comes with eager-pipeline 1.0\n" in made.stdout
    assert "from eager_pipeline import Eager as pipeline_class\n" in made.stdout
    assert 'pipeline = pipeline_class("dynamic", {"bits": 4})\n' in made.stdout
    assert "# checked   it was run, and printed the lines below\n" in made.stdout


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.xdist_group("pipeline_package")
def test_the_pipeline_has_its_place_in_reports(pipeline_run: Path, pipeline_site: Path) -> None:
    report = warm.command(pipeline_run, "report", "reports/latest", path=[pipeline_site])

    assert report.returncode == 0, report.stderr
    assert "eager" in (pipeline_run / "reports/latest/index.html").read_text()
    assert "eager" in (pipeline_run / "reports/latest/results.csv").read_text().splitlines()[0]


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.xdist_group("pipeline_package")
def test_shards_of_the_pipelines_matrix_are_merged_and_compared_to_the_same_verdicts(
    pipeline_run: Path, pipeline_site: Path, tmp_path: Path
) -> None:
    for shard in ("1/2", "2/2"):
        out = f"shard-{shard[0]}"
        argv = ("run", PIPELINE_MATRIX, "--fresh", "--workers", "0", "--shard", shard, "--out", out)
        ended = warm.command(tmp_path, *argv, path=[pipeline_site])
        assert ended.returncode == 0, ended.stdout + ended.stderr
    shards = ("shard-1/latest", "shard-2/latest")
    merged = warm.command(tmp_path, "merge", *shards, "--out", "reports", path=[pipeline_site])
    both = (str(pipeline_run / "reports/latest"), "reports/latest")
    compared = warm.command(tmp_path, "compare", *both, path=[pipeline_site])

    assert merged.returncode == 0, merged.stdout + merged.stderr
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert [case["verdict"] for case in results_of(tmp_path)] == [case["verdict"] for case in results_of(pipeline_run)]


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_the_pipeline_runs_on_a_ray_cluster(pipeline_site: Path, tmp_path: Path) -> None:
    argv = ("run", PIPELINE_MATRIX, "--fresh", "--engine", "ray", "--workers", "1", "--case", "eager/perceptron")
    ended = qatrix(tmp_path, *argv, site=pipeline_site)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [case["verdict"] for case in results_of(tmp_path)] == ["exact", "diverged"]


@pytest.mark.torch
@pytest.mark.slow
def test_its_model_is_tried_by_its_name_without_consent(pipeline_site: Path, tmp_path: Path) -> None:
    argv = ("try", "perceptron", "--input", "16x8", "--workers", "0", "--save", "mine.yaml")
    tried = warm.command(tmp_path, *argv, path=[pipeline_site])

    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "run it again with: qatrix run mine.yaml\n" in tried.stdout
    assert "    model: perceptron\n" in (tmp_path / "mine.yaml").read_text()


def test_the_page_shows_the_pipeline_as_it_is() -> None:
    page = (ROOT / "docs" / "extending.md").read_text()
    metadata = (PIPELINE / "pyproject.toml").read_text()

    assert f"```python\n{(PIPELINE / 'eager_pipeline.py').read_text()}```" in page
    for table in re.findall(r'^\[project.entry-points."qatrix\.\w+"\]\n.*\n', metadata, flags=re.MULTILINE):
        assert table in page


@pytest.fixture(scope="module")
def runtime_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel of the runtime installs, its metadata included."""
    return unpacked(RUNTIME, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_of_the_runtime_package_holds_its_module_and_its_metadata(runtime_site: Path) -> None:
    files = {path.relative_to(runtime_site).as_posix() for path in runtime_site.rglob("*") if path.is_file()}

    assert "layer_interpreter.py" in files
    assert "layer_interpreter-1.0.dist-info/entry_points.txt" in files


def test_the_runtimes_matrix_is_right_where_it_is_installed_and_nowhere_else(
    runtime_site: Path, tmp_path: Path
) -> None:
    here = qatrix(tmp_path, "check", RUNTIME_MATRIX, site=runtime_site)
    elsewhere = qatrix(tmp_path, "check", RUNTIME_MATRIX)

    assert (here.returncode, here.stderr) == (0, "")
    assert elsewhere.returncode == 2
    assert "unknown runtime 'interpreter'" in elsewhere.stderr


def test_checking_and_listing_import_neither_torch_nor_the_runtime(runtime_site: Path, tmp_path: Path) -> None:
    for name in ("torch", "layer_interpreter"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    listing = Path(f"{tmp_path}{os.pathsep}{runtime_site}")
    listed = qatrix(tmp_path, "list", RUNTIME_MATRIX, site=listing)

    assert qatrix(tmp_path, "check", RUNTIME_MATRIX, site=listing).returncode == 0
    assert listed.stdout.splitlines() == [
        f"planted/tower/quantizer=int8,runtime={name},device=cpu"
        for name in ("reference", "interpreter", "scales", "clamps", "drops")
    ]


@pytest.mark.torch
@pytest.mark.slow
def test_the_runtime_as_it_should_be_is_exact_and_each_wrong_kernel_is_noticed(
    runtime_site: Path, tmp_path: Path
) -> None:
    ended = warm.command(tmp_path, "run", RUNTIME_MATRIX, "--fresh", "--workers", "0", path=[runtime_site])
    cases = {case["axes"]["runtime"]: case for case in results_of(tmp_path)}
    lowering = cases["scales"]["pipelines"]["pt2e"]["lowering"]

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert {name: case["verdict"] for name, case in cases.items()} == {
        "reference": "exact",
        "interpreter": "exact",
        "scales": "diverged",
        "clamps": "diverged",
        "drops": "diverged",
    }
    first = {name: cases[name]["pipelines"]["pt2e"]["lowering"]["first"] for name in ("scales", "clamps", "drops")}
    found = {name: (item["layer"], item["op"], item["kernel"], item["alone"]) for name, item in first.items()}
    assert found == dict.fromkeys(found, ("layers.6", "linear, relu", "linear.default", True))
    assert [lowering[key] for key in ("runtime", "version")] == ["interpreter", "1.0"]
    assert lowering["options"] == {"fault": "scale", "layer": "layers.6"}
    assert ["linear.default", ["layers.6"]] in [[item["name"], item["layers"]] for item in lowering["ran"]["kernels"]]


def test_the_page_shows_the_runtime_as_it_is() -> None:
    page = (ROOT / "docs" / "extending.md").read_text()

    assert f"```python\n{(RUNTIME / 'layer_interpreter.py').read_text()}```" in page
    assert '[project.entry-points."qatrix.runtimes"]\ninterpreter = "layer_interpreter:Interpreter"\n' in page
    assert (
        '[project.entry-points."qatrix.runtimes"]\ninterpreter = "layer_interpreter:Interpreter"\n'
        in (RUNTIME / "pyproject.toml").read_text()
    )
