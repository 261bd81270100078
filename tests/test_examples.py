"""What is in examples/: distributions as docs/extending.md promises them, and models as docs/your-model.md does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "examples" / "quantizer-package"
MODELS = ROOT / "examples" / "models"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs, its metadata included."""
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(PACKAGE)).build(directory=str(folder), versions=["standard"])
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
def test_its_cases_run_and_their_records_say_whose_class_it_was(site: Path, tmp_path: Path) -> None:
    ended = qatrix(tmp_path, "run", str(PACKAGE / "matrix.yaml"), "--fresh", "--workers", "1", site=site)
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
