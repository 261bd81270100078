"""check, list, schema and init: about declarations, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.project import Project

FAULTY = """
suites:
  third:
    axes: {pattern: linaer, quantizer: int8, colour: red}
expected:
  - {cases: "first/*", verdict: divergd, because: "…"}
"""


def test_check_counts_the_cases_of_a_sound_matrix(project: Project) -> None:
    ended = project.run("check")

    assert (ended.code, ended.out, ended.err) == (0, "matrix: no problems, 4 cases\n", "")


def test_check_of_one_case_says_so(project: Project) -> None:
    small = (project.path / "matrix/small.yaml").read_text()
    first, _ = small.split("  second:")
    project.write({"matrix/small.yaml": first.replace("[true, false]", "[true]")})

    assert project.run("check").out.endswith(", 1 case\n")


def test_check_prints_every_problem_with_its_place(project: Project) -> None:
    project.write({"matrix/faulty.yaml": FAULTY})
    ended = project.run("check")

    assert ended.code == 2, ended
    assert "matrix/faulty.yaml:4:21: error: " in ended.err
    assert "did you mean 'linear'?" in ended.err
    assert "did you mean 'diverged'?" in ended.err
    assert "Traceback" not in ended.err
    assert ended.err.rstrip().endswith("errors")


def test_check_takes_several_paths(project: Project) -> None:
    project.write({"matrix/faulty.yaml": FAULTY})

    assert project.run("check", "matrix/small.yaml").code == 0


def test_check_names_a_path_that_is_not_there(project: Project) -> None:
    ended = project.run("check", "nowhere")

    assert ended.code == 2
    assert "nowhere" in ended.err


def test_a_stale_expectation_is_a_warning(project: Project) -> None:
    project.write({"matrix/stale.yaml": 'expected: [{cases: "zeroth/*", verdict: diverged, because: "gone"}]\n'})
    ended = project.run("check")

    assert ended.code == 0
    assert "matrix/stale.yaml:1:12: warning: " in ended.err
    assert ended.out == "matrix: 1 warning, 4 cases\n"


def test_two_cases_with_one_id_are_an_error_that_names_both_places(project: Project) -> None:
    project.write(
        {
            "matrix/small.yaml": (project.path / "matrix/small.yaml")
            .read_text()
            .replace("  second:", "    include: [{pattern: linear, bias: true, quantizer: int8}]\n  second:")
            .replace(
                "first: {axes: {pattern: linear, bias: [true, false], quantizer: int8}}",
                "first:\n    axes: {pattern: linear, bias: [true, false], quantizer: int8}",
            )
        }
    )
    ended = project.run("list")

    assert ended.code == 2, ended
    assert "matrix/small.yaml:14:" in ended.err
    assert "declared at matrix/small.yaml:13:5 already" in ended.err


def test_list_prints_one_id_a_line(project: Project) -> None:
    ended = project.run("list")

    assert ended.out.splitlines() == [
        "first/linear/bias=true,quantizer=int8,device=cpu",
        "first/linear/bias=false,quantizer=int8,device=cpu",
        "second/linear/quantizer=int8,device=cpu",
        "second/linear/quantizer=int8,device=cuda",
    ]
    assert ended.err == "4 of 4 cases\n"


@pytest.mark.parametrize(
    ("selectors", "count"),
    [
        (("--case", "first"), 2),
        (("--case", "*device=cuda"), 1),
        (("--case", "first/*", "--case", "second/*cuda"), 3),
        (("--only", "bias=true"), 1),
        (("--only", "device=cpu", "--case", "second"), 1),
    ],
)
def test_list_selects(project: Project, selectors: tuple[str, ...], count: int) -> None:
    assert len(project.run("list", *selectors).out.splitlines()) == count


@pytest.mark.parametrize(
    ("selectors", "told"),
    [
        (("--case", "frist/*"), "first"),
        (("--only", "bias=maybe"), "true"),
        (("--only", "biass=true"), "bias"),
        (("--only", "bias"), "AXIS=VALUE"),
    ],
)
def test_a_selector_that_fits_nothing_is_an_error_that_helps(
    project: Project, selectors: tuple[str, ...], told: str
) -> None:
    ended = project.run("list", *selectors)

    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert told in ended.err


def test_list_as_json_has_the_axes_and_the_source(project: Project) -> None:
    cases = json.loads(project.run("list", "--format", "json", "--only", "bias=true").out)

    assert cases == [
        {
            "case_id": "first/linear/bias=true,quantizer=int8,device=cpu",
            "suite": "first",
            "axes": {"pattern": "linear", "bias": True, "quantizer": "int8", "device": "cpu"},
            "pipelines": ["pt2e", "fx"],
            "checks": [],
            "seed": cases[0]["seed"],
            "source": "matrix/small.yaml:12:10",
        }
    ]


def test_dropped_points_are_counted_with_their_reason(project: Project) -> None:
    project.write(
        {
            "matrix/third.yaml": """
            suites:
              third:
                axes: {pattern: linear, bias: [true, false], quantizer: int8}
                exclude: [{bias: false, because: "covered elsewhere"}]
            """
        }
    )

    assert project.run("list", "--case", "third").err == "1 of 5 cases, 1 point dropped: covered elsewhere\n"


def test_a_factory_outside_the_allowed_modules_needs_the_option_or_the_configuration(project: Project) -> None:
    project.write(
        {
            "matrix/mine.yaml": """
            patterns: {mine: {model: my_models.nets.small, inputs: {x: {shape: [1]}}}}
            suites: {mine: {axes: {pattern: mine, quantizer: int8}}}
            """
        }
    )
    refused = project.run("list")
    allowed = project.run("list", "--allow-module", "my_models")
    project.write({"pyproject.toml": "[tool.qatrix]\nallow-modules = ['my_models.nets']\n"})
    configured = project.run("list")

    assert (refused.code, allowed.code, configured.code) == (2, 0, 0)
    assert "--allow-module" in refused.err


@pytest.mark.parametrize("prefix", ["", " ", "a b", "a..b", "a.", ".a", "my-package", "../x", "os;x", "class"])
def test_a_consent_that_is_no_dotted_name_is_an_error(project: Project, prefix: str) -> None:
    given = project.run("check", "--allow-module", prefix)
    project.write({"pyproject.toml": f"[tool.qatrix]\nallow-modules = ['fine', '{prefix}']\n"})
    configured = project.run("check")

    told = f"{prefix!r} is not a dotted name; expected a module such as my_package.models"
    assert (given.code, configured.code) == (2, 2)
    assert f"--allow-module: {told}" in given.err
    assert f"pyproject.toml: [tool.qatrix] allow-modules: {told}" in configured.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("[tool.qatrix\n", "pyproject.toml cannot be read", id="broken"),
        pytest.param("[tool.qatrix]\nallow-modules = 'x'\n", "expected a list of module names", id="no list"),
        pytest.param("[tool]\nqatrix = 3\n", "expected a table [tool.qatrix]", id="no table"),
        pytest.param("a = " + "[" * 5_000, "pyproject.toml cannot be read", id="brackets without end"),
        pytest.param(f"a = {'9' * 5_000}\n", "pyproject.toml cannot be read", id="a number without end"),
        pytest.param("#" * 1_000_001, "it has more than 1,000,000 bytes", id="a file without end"),
    ],
)
def test_a_faulty_configuration_is_told(project: Project, text: str, told: str) -> None:
    project.write({"pyproject.toml": text})
    ended = project.run("check")

    assert ended.code == 2
    assert told in ended.err


def test_schema_prints_a_json_schema(project: Project) -> None:
    schema = json.loads(project.run("schema").out)

    assert "suites" in schema["properties"]


def test_schema_prints_that_of_the_results_too(project: Project) -> None:
    schema = json.loads(project.run("schema", "results").out)

    assert set(schema["properties"]) == {"run", "cases", "unfinished", "since"}


def test_init_writes_the_shipped_matrix_and_never_overwrites(project: Project) -> None:
    first, second = project.run("init", "fresh"), project.run("init", "fresh")

    assert first.code == 0
    assert first.out.endswith("next: qatrix run fresh/matrix\n")
    assert project.run("check", "fresh/matrix").out.startswith("fresh/matrix: no problems")
    assert second.code == 2
    assert "fresh/matrix already exists, and nothing was written" in second.err


def test_init_small_writes_one_sound_file(project: Project) -> None:
    assert project.run("init", "--small", "tiny").code == 0
    assert [path.name for path in (project.path / "tiny/matrix").iterdir()] == ["starter.yaml"]
    assert project.run("check", "tiny/matrix").out == "tiny/matrix: no problems, 4 cases\n"


def test_init_into_a_file_is_refused(project: Project) -> None:
    project.write({"taken": ""})
    ended = project.run("init", "taken")

    assert ended.code == 2
    assert ended.err.startswith("error: cannot write taken/matrix: ")


@pytest.mark.processes
@pytest.mark.parametrize("verb", ["--help", "check", "list"])
def test_verbs_about_declarations_import_no_torch(verb: str, project: Project) -> None:
    script = f"import sys, qatrix.cli as c\ncode = c.run([{verb!r}], c.Collaborators())\n"
    script += "print(sorted({'torch', 'pandas', 'torchao'} & set(sys.modules)), code)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project.path, capture_output=True, text=True, check=True, env=_environment()
    )

    assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.processes
def test_a_reader_that_goes_away_is_no_error(project: Project) -> None:
    command = f"{sys.executable} -m qatrix list | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )

    assert done.stdout.splitlines() == ["first/linear/bias=true,quantizer=int8,device=cpu"]
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.processes
@pytest.mark.parametrize("redirection", ["| true", "2>/dev/full | cat"], ids=["closed", "full"])
def test_the_exit_code_stays_what_it_is_when_nobody_listens(project: Project, redirection: str) -> None:
    command = f"{sys.executable} -m qatrix check {redirection}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=project.path, check=False, env=_environment(), timeout=60
    )

    assert done.returncode == 0


@pytest.mark.processes
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_full_disk_is_told_in_words(project: Project, unbuffered: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "qatrix", "list"],
            cwd=project.path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**_environment(), "PYTHONUNBUFFERED": unbuffered},
        )

    assert done.returncode == 2
    assert "error: standard output cannot be written: No space left on device\n" in done.stderr
    assert "bug" not in done.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "runner")}
