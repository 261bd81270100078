"""support, of runs with and without runtimes: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import json

import pytest

from support.demo_run import write_store
from support.lowerings import deployed_records, make_clamped, make_deployed
from support.project import Project
from support.records import make_record

NATIVE = "fx on native (engine qnnpack)"


@pytest.fixture
def deployed(project: Project) -> Project:
    """A project with a run on several runtimes."""
    write_store(project.path / "run.sqlite", deployed_records())
    return project


def test_the_table_is_printed_as_markdown(deployed: Project) -> None:
    ended = deployed.run("support", "run.sqlite")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("# What runs in integers where\n\nRun 2026-08-27T101500Z: torch 2.15.0, ")
    assert "\n## xnnpack\\_ptq\n" in ended.out or "\n## xnnpack_ptq\n" in ended.out
    assert "| conv3d | ✗ fails at lower |" in ended.out


def test_files_get_the_page_and_a_row_for_each_cell(deployed: Project) -> None:
    ended = deployed.run("support", "run.sqlite", "--out", "there/support.md", "--csv", "there/support.csv")

    assert (ended.code, ended.out) == (0, "there/support.md\nthere/support.csv\n")
    assert (deployed.path / "there/support.md").read_text().startswith("# What runs in integers where\n")
    with (deployed.path / "there/support.csv").open(newline="") as file:
        assert {row["state"] for row in csv.DictReader(file)} == {
            "integers", "partly", "fails", "reference", "unavailable",
        }  # fmt: skip


def test_the_page_on_standard_output_has_no_path_in_it(deployed: Project) -> None:
    ended = deployed.run("support", "run.sqlite", "--csv", "support.csv")

    assert ended.out == deployed.run("support", "run.sqlite").out
    assert ended.err == "support.csv\n"


def test_runtimes_and_quantizers_are_chosen(deployed: Project) -> None:
    out = deployed.run("support", "run.sqlite", "--runtime", "native", "--quantizer", "xnnpack_qat").out

    assert "| pattern | fx on native (engine qnnpack) |\n" in out
    assert "executorch (" not in out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(
            ("--runtime", "executorchs"), "no case of this run has the runtime executorchs; it has ", id="runtime"
        ),
        pytest.param(("--runtime", "executorchs"), "; did you mean executorch?", id="nearest"),
        pytest.param(
            ("--quantizer", "int4"),
            "no case of this run has the quantizer int4; it has xnnpack_ptq and xnnpack_qat",
            id="quantizer",
        ),
        pytest.param(
            ("--quantizer", "xnnpack_qat", "--runtime", "saved"),
            "has any of these quantizers with any of these runtimes; leave one of the options out",
            id="both",
        ),
    ],
)
def test_what_the_run_does_not_have_is_refused(deployed: Project, options: tuple[str, ...], told: str) -> None:
    ended = deployed.run("support", "run.sqlite", *options)

    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


def test_a_run_without_runtimes_is_refused(project: Project) -> None:
    write_store(project.path / "run.sqlite", [make_record()])

    ended = project.run("support", "run.sqlite")
    assert ended.code == 2
    assert "no case of run.sqlite has a runtime; " in ended.err


def test_a_case_is_shown_with_its_runtimes(deployed: Project) -> None:
    out = deployed.run("show", "deployed/relu6/runtime=xnnpack", "--run", "run.sqlite").out

    assert "fx on native (engine qnnpack): SQNR -1.3 dB, 95 quantization steps from its reference" in out
    assert "\nfx on native (engine qnnpack)\nthe runtime first leaves its reference at relu" in out
    assert "\n  Cause (defect): fx's clamp is wrong.\n    relu6 alone" in out
    assert out.index("Cause (defect)") < out.index("\nfx on native (engine qnnpack)\n")
    assert "xnn_qs8_conv" in out


def test_runs_that_are_compared_say_what_was_gained_and_lost(deployed: Project) -> None:
    mended = make_deployed(make_clamped().case_id, axes={"pattern": "relu6"})
    later = [mended if record.case_id == mended.case_id else record for record in deployed_records()]
    (deployed.path / "later").mkdir()
    write_store(deployed.path / "later/run.sqlite", later)

    ended = deployed.run("compare", "run.sqlite", "later/run.sqlite", "--label", "old", "--label", "new")
    told = f"relu6 with xnnpack_ptq, {NATIVE}: ≠ integers, -1.3 dB, 95 steps off → ✓ integers, 36.2 dB, 0 steps off"
    page, markdown, document = (
        (deployed.path / "reports/compare" / name).read_text()
        for name in ("compare.html", "compare.md", "compare.json")
    )

    assert ended.code == 0
    assert f"  ▲ {told}\n" in ended.out
    assert "### What runs in integers, old → new\n\n- ▲ relu6 with xnnpack_ptq, " in markdown
    assert told in page
    (change,) = json.loads(document)["pairs"][0]["support"]
    assert (change["kind"], change["runtime"]) == ("gained", "native (engine qnnpack)")
    assert (change["before"], change["after"]["sqnr_db"]) == ({"state": "integers", "sqnr_db": -1.3}, 36.2)
