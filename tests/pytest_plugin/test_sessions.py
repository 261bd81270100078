"""The cases of a matrix as pytest's items, in sessions of their own."""

from __future__ import annotations

import re
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import FULL_TAG, Case
from qatrix.resources import folder
from support.project import MATRIX

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.processes

REAL = """
patterns:
  linear:
    layers: {a: "Linear(3, 3, bias=bias)"}
    params: {bias: true}
    forward: ["return a(x)"]
    inputs: {x: {shape: [2, 3]}}
  smooth:
    layers: {a: "Softplus()"}
    forward: ["return a(x)"]
    inputs: {x: {shape: [2, 3]}}
quantizers:
  int8: {mode: ptq, fx: {backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qconfig}}
"""
SUITES = """
suites:
  good:
    axes: {pattern: linear, bias: [true, false], quantizer: int8}
    pipelines: {only: [fx], because: it is quick}
  later:
    axes: {pattern: linear, quantizer: int8}
    pipelines: {only: [fx], because: it is quick}
    skip: not yet
  mended:
    axes: {pattern: linear, quantizer: int8}
    pipelines: {only: [fx], because: it is quick}
  tagged:
    axes: {pattern: linear, quantizer: int8}
    tags: [big]
expected:
  - cases: mended/*
    verdict: failed
    because: it was once so
"""
DIFFERENT = """
suites:
  nothing: {axes: {pattern: smooth, quantizer: int8}, pipelines: {only: [fx], because: it is quick}}
expected:
  - {cases: nothing/*, verdict: unquantized, because: softplus stays in float}
"""


def cases_of(more: str) -> tuple[Case, ...]:
    """All cases of the matrix that comes with qatrix, and of some YAML beside it."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "more.yaml"
        path.write_text(more, encoding="utf-8")
        matrix = load([folder("matrix"), path]).matrix
    assert matrix is not None
    return select(matrix, Selection(tags=(FULL_TAG,))).cases


class Session:
    """A folder in which pytest runs as a user runs it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.folder = pytester.path
        self.write("pytest.ini", "[pytest]\n")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, *arguments: str) -> str:
        """What pytest prints."""
        ended = self.pytester.runpytest_subprocess("-p", "no:slipcover", *arguments)
        return f"{ended.stdout}{ended.stderr}"

    def collected(self, *arguments: str) -> list[str]:
        """The ids of the items."""
        return [line for line in self.run("--collect-only", "-q", *arguments).splitlines() if "::" in line]


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Session:
    # A terminal of 80 columns cuts the lines of the summary.
    monkeypatch.setenv("COLUMNS", "400")
    # As for `qatrix run`, a module beside the matrix has to be found.
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    return Session(pytester)


IDS = [
    "matrix/small.yaml::first/linear/bias=true,quantizer=int8,device=cpu",
    "matrix/small.yaml::first/linear/bias=false,quantizer=int8,device=cpu",
    "matrix/small.yaml::second/linear/quantizer=int8,device=cpu",
    "matrix/small.yaml::second/linear/quantizer=int8,device=cuda",
]


def test_each_case_is_an_item_of_the_file_that_declares_it(session: Session) -> None:
    session.write("matrix/small.yaml", MATRIX)

    assert session.collected("matrix") == IDS
    assert session.collected("matrix", "-k", "cuda") == IDS[3:]
    assert session.collected(IDS[1]) == [IDS[1]]


def test_the_suites_of_one_file_find_the_patterns_of_another(session: Session) -> None:
    session.write("matrix/patterns.yaml", REAL)
    session.write("matrix/suites/all.yaml", SUITES)
    ids = session.collected("matrix/suites/all.yaml")

    assert len(ids) == 4
    assert session.collected("matrix") == ids
    assert len(session.collected("matrix", "--qatrix-tag", "full")) == 5
    assert session.collected("matrix", "--qatrix-only", "bias=false") == [ids[1]]


@pytest.mark.parametrize("arguments", [[], ["."], ["tests"]])
def test_a_matrix_that_nobody_names_is_not_collected(session: Session, arguments: list[str]) -> None:
    session.write("matrix/small.yaml", MATRIX)
    session.write("tests/data/small.yaml", MATRIX)
    session.write("tests/test_one.py", "def test_one(): pass\n")

    assert session.collected(*arguments) == ["tests/test_one.py::test_one"]


def test_a_matrix_and_tests_run_together(session: Session) -> None:
    session.write("pytest.ini", "[pytest]\ntestpaths = tests matrix\n")
    session.write("matrix/small.yaml", MATRIX)
    session.write("tests/test_one.py", "def test_one(): pass\n")

    assert session.collected() == ["tests/test_one.py::test_one", *IDS]


def test_all_faults_of_a_matrix_are_told_once_with_their_places(session: Session) -> None:
    session.write("matrix/a.yaml", MATRIX.replace("pattern: linear, bias", "pattern: liner, bias"))
    session.write("matrix/b.yaml", "suites:\n  third: {axes: {pattern: linear, quantizer: int9}}\n")
    out = session.run("matrix")

    assert "matrix/a.yaml:12:27: error: unknown pattern 'liner'\n    at suite 'first', axis 'pattern'\n" in out
    assert "matrix/b.yaml:2:46: error: " in out
    assert out.count("unknown quantizer 'int9'") == 1
    assert "did you mean 'linear'?" in out
    assert "Traceback" not in out
    assert "1 error in" in out


def test_options_that_fit_nothing_are_told(session: Session) -> None:
    session.write("matrix/small.yaml", MATRIX)

    assert "--only dim=2: no case has an axis 'dim'" in session.run("matrix", "--qatrix-only", "dim=2")
    assert "--qatrix-timeout: 0 is no time" in session.run("matrix", "--qatrix-timeout", "0")


def test_code_of_ones_own_needs_consent(session: Session) -> None:
    session.write("matrix/small.yaml", MATRIX)
    session.write(
        "matrix/mine.yaml",
        "patterns: {mine: {model: my_package.build, inputs: {x: {shape: [1, 3]}}}}\n"
        "suites: {mine: {axes: {pattern: mine, quantizer: int8}}}\n",
    )

    assert "may not be used without your consent" in session.run("matrix")
    assert "matrix/mine.yaml::mine/mine/quantizer=int8,device=cpu" in session.collected(
        "matrix", "--allow-module", "my_package"
    )


def test_a_session_without_a_matrix_imports_the_hooks_and_nothing_more(session: Session) -> None:
    session.write("data/numbers.yaml", "numbers: [1, 2]\n")
    session.write(
        "test_modules.py",
        "import sys\n"
        "def test_modules():\n"
        "    ours = {name for name in sys.modules if name.split('.')[0] in {'qatrix', 'torch', 'pydantic', 'yaml'}}\n"
        "    assert ours == {'qatrix', 'qatrix.pytest_plugin', 'qatrix.pytest_plugin.places'}\n",
    )

    assert "1 passed" in session.run("data", "test_modules.py")


def test_the_page_documents_every_option(session: Session) -> None:
    page = (Path(__file__).parents[2] / "docs/pytest.md").read_text(encoding="utf-8")
    (ours,) = re.findall(r"\ncases of qatrix:\n(.*?)\n\n", session.run("--help"), flags=re.DOTALL)
    options = re.findall(r"^  (--[\w-]+)", ours, flags=re.MULTILINE)

    assert re.findall(r"^\| `(--[\w-]+) ", page, flags=re.MULTILINE) == options
    assert len(options) == 4


def test_the_page_names_cases_that_are_declared() -> None:
    page = (Path(__file__).parents[2] / "docs/pytest.md").read_text(encoding="utf-8")
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (mine,) = re.findall(r"```yaml\n(.*?)```", readme, flags=re.DOTALL)
    named = re.findall(r"(matrix/[\w/]+\.yaml)::([\w/=,]+)", page)

    assert [name for name, _ in named] == ["matrix/mine.yaml", "matrix/suites/conv.yaml"]
    declared = {case.case_id for case in cases_of(mine)}
    assert {case_id for _, case_id in named} <= declared


@pytest.mark.torch
def test_verdicts_become_what_pytest_calls_them(session: Session) -> None:
    session.write("matrix/patterns.yaml", REAL)
    session.write("matrix/suites.yaml", SUITES)
    session.write("matrix/their_differences.yaml", DIFFERENT)
    out = session.run("matrix", "-rsx", "--junitxml", "junit.xml")
    cases = {case.get("name", ""): case for case in ET.parse(session.folder / "junit.xml").iter("testcase")}
    properties = {item.get("name"): item.get("value") for item in next(iter(cases.values())).iter("property")}

    assert "1 failed, 2 passed, 1 skipped, 1 xfailed in " in out
    assert "SKIPPED [1] matrix/suites.yaml:7: not yet" in out
    assert (
        "XFAIL matrix/their_differences.yaml::nothing/smooth/quantizer=int8,device=cpu - unquantized: softplus" in out
    )
    # Strict: what is expected and gone is a failure, in words and not with a traceback.
    assert "not expected: the entry at matrix/suites.yaml:17:5 expects failed, but the verdict is checked" in out
    assert "if it stays this way, remove the entry" in out
    assert "Run it with a report: qatrix run " in out
    assert "What to do: " in out
    assert "Traceback" not in out
    assert "runner/qatrix" not in out
    # The whole record is there as `qatrix show` prints it.
    assert "  fx: ok, SQNR " in out
    assert properties["verdict"] == "checked"
    assert float(properties["sqnr_db.fx"] or "") > 20
    # And what failed would run again alone.
    assert session.collected("matrix", "--lf") == ["matrix/suites.yaml::mended/linear/quantizer=int8,device=cpu"]


# A model each that ends its process, and that never ends.
UNRULY = """
import os, time
from torch import nn
class Abort(nn.Linear):
    def __init__(self): super().__init__(3, 3)
    def forward(self, x): os.abort()
class Hang(Abort):
    def forward(self, x): time.sleep(1000)
"""


@pytest.mark.torch
def test_a_case_that_crashes_or_hangs_fails_alone(session: Session) -> None:
    session.write("unruly.py", UNRULY)
    session.write("matrix/patterns.yaml", REAL)
    session.write(
        "matrix/unruly.yaml",
        "patterns:\n"
        "  abort: {model: unruly.Abort, inputs: {x: {shape: [2, 3]}}}\n"
        "  hang: {model: unruly.Hang, inputs: {x: {shape: [2, 3]}}}\n"
        "suites:\n"
        "  u: {axes: {pattern: [abort, hang, linear], quantizer: int8}, pipelines: {only: [fx], because: quick}}\n",
    )
    out = session.run("matrix", "--allow-module", "unruly", "--qatrix-timeout", "20")

    assert "crashed: abort with int8" in out
    assert "the case's process died by signal SIGABRT" in out
    assert "stopped after 20 seconds" in out
    assert "pytest's option for that is --qatrix-timeout." in out
    command = "qatrix run matrix --case u/abort/quantizer=int8,device=cpu --allow-module unruly"
    assert f"  Run it with a report: {command}\n" in out
    assert "2 failed, 1 passed in " in out
