"""A package as it was against the same package as it is now."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qatrix.cli import scope, sides
from qatrix.cli.edits import edited
from qatrix.cli.sides import Side, installed, overlay, own_qatrix, packages_in, place_of
from qatrix.errors import EnvironmentUnusable, UsageError
from support.project import Project, ended_with

SOURCE = 'def double(x):\n    """Twice."""\n    return 2 * x  # not three times\n'


def package(folder: Path, source: str = SOURCE, *, name: str = "my_quantizer") -> Path:
    """A checkout with a package of one module."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "__init__.py").write_text(source)
    return folder


def test_a_checkout_has_packages_beside_or_in_src(tmp_path: Path) -> None:
    beside, inside = package(tmp_path / "one"), package(tmp_path / "two" / "src")

    assert packages_in(beside) == {"my_quantizer": beside / "my_quantizer"}
    assert packages_in(inside.parent) == {"my_quantizer": inside / "my_quantizer"}


def test_of_a_checkout_that_has_torchao_its_tests_are_left_out(tmp_path: Path) -> None:
    checkout = package(package(tmp_path, name="torchao"), name="test")

    assert list(packages_in(checkout)) == ["torchao"]


def test_executorch_needs_no_init(tmp_path: Path) -> None:
    (tmp_path / "src" / "executorch").mkdir(parents=True)
    (tmp_path / "backends").mkdir()

    assert packages_in(tmp_path) == {"executorch": tmp_path / "src" / "executorch"}


def test_a_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no package; expected the folder that has torchao/"):
        packages_in(tmp_path)


@pytest.mark.parametrize(
    "other",
    [SOURCE, SOURCE.replace("not three", "surely not three"), SOURCE.replace("Twice.", "Doubled.")],
)
def test_comments_and_docstrings_are_no_code(tmp_path: Path, other: str) -> None:
    assert of_package(package(tmp_path / "one"), package(tmp_path / "two", other)) == ()


def test_other_code_and_other_files_are(tmp_path: Path) -> None:
    one = package(tmp_path / "one")

    assert of_package(one, package(tmp_path / "two", SOURCE.replace("2 *", "3 *"))) == ("__init__.py",)
    assert of_package(one, package(tmp_path / "three", "def broken(:\n")) == ("__init__.py",)
    more = package(tmp_path / "four")
    (more / "my_quantizer" / "kernels.so").write_bytes(b"\0")
    assert of_package(one, more) == of_package(more, one) == ("kernels.so",)


def test_what_is_compiled_on_the_way_and_what_is_read_by_people_is_no_code(tmp_path: Path) -> None:
    one, other = package(tmp_path / "one"), package(tmp_path / "two")
    (other / "my_quantizer" / "__pycache__").mkdir()
    (other / "my_quantizer" / "__pycache__" / "x.pyc").write_bytes(b"\0")
    (other / "my_quantizer" / "README.md").write_text("Read me")

    assert of_package(one, other) == ()


def test_folders_that_are_links_are_looked_into_once(tmp_path: Path) -> None:
    one, other = package(tmp_path / "one"), package(tmp_path / "two")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "inner.py").write_text(SOURCE)
    (other / "my_quantizer" / "part").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(other / "my_quantizer")

    assert of_package(one, other) == ("part/inner.py",)


def test_of_a_package_without_an_init_python_takes_the_rest_from_the_base(tmp_path: Path) -> None:
    base, head = tmp_path / "base", tmp_path / "head"
    for folder, names in ((base, ("a.py", "b.py")), (head, ("a.py",))):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(SOURCE)

    assert edited(base, head) == ()
    (head / "a.py").write_text(SOURCE.replace("2 *", "3 *"))
    assert edited(base, head) == ("a.py",)


def of_package(one: Path, other: Path) -> tuple[str, ...]:
    return edited(one / "my_quantizer", other / "my_quantizer")


def test_an_overlay_has_the_package_and_a_version_that_says_so(tmp_path: Path) -> None:
    checkout = package(tmp_path / "ao", name="torchao")
    made = overlay(tmp_path / "packages", packages_in(checkout), name="head")
    again = overlay(tmp_path / "packages", packages_in(checkout), name="head")

    assert made == again
    assert (made / "torchao" / "__init__.py").read_text() == SOURCE
    (info,) = made.glob("torchao-*+head.dist-info")
    assert "Version: " in (info / "METADATA").read_text()
    assert place_of("torchao", [made]) == made / "torchao"


@pytest.mark.torch
def test_a_package_that_no_folder_has_is_where_it_is_installed() -> None:
    place = place_of("torchao", [])

    assert place is not None
    assert (place / "quantization" / "pt2e").is_dir()
    assert place_of("no_such_package_at_all", []) is None


def test_both_sides_are_judged_by_this_qatrix(tmp_path: Path) -> None:
    made = own_qatrix(own_qatrix(tmp_path).parent)

    assert [path.name for path in made.iterdir()] == ["qatrix"]
    assert (made / "qatrix" / "cli" / "sides.py").samefile(sides.__file__)


@pytest.mark.parametrize("text", ["torchao", "torchao==", "==0.17.0", "torchao>=0.17"])
def test_a_package_needs_a_version(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="expected NAME==VERSION"):
        installed(tmp_path, text)


def test_a_package_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchao-0.17.0").mkdir()
    monkeypatch.setattr(sides, "_INSTALLERS", ())

    assert installed(tmp_path, "torchao==0.17.0") == tmp_path / "torchao-0.17.0"
    with pytest.raises(EnvironmentUnusable, match="there is neither uv nor pip"):
        installed(tmp_path, "torchao==0.16.0")


def test_what_installs_and_what_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text('#!/bin/sh\nmkdir -p "$4"\n')
    bad.write_text("#!/bin/sh\necho no such version >&2\nexit 1\n")
    for script in (good, bad):
        script.chmod(0o755)
    monkeypatch.setattr(sides, "_INSTALLERS", ((str(bad),), ("no-such-program-here",)))
    with pytest.raises(EnvironmentUnusable, match=r"torchao==9 cannot be installed: no such version"):
        installed(tmp_path, "torchao==9")

    monkeypatch.setattr(sides, "_INSTALLERS", ((str(good),),))
    assert installed(tmp_path, "torchao==0.16.0").is_dir()


def test_a_side_runs_qatrix_with_its_packages_first(tmp_path: Path) -> None:
    side = Side(name="head", python=str(tmp_path / "python"), folders=(tmp_path / "a", tmp_path / "b"))
    (tmp_path / "python").write_text('#!/bin/sh\necho "$PYTHONPATH $@" > "$(dirname "$0")/said"\nexit 3\n')
    (tmp_path / "python").chmod(0o755)

    assert side.run(["run", "--quiet"]) == 3
    said = (tmp_path / "said").read_text()
    assert said.startswith(f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert said.endswith("-m qatrix run --quiet\n")


def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be run: No such file or directory; name the Python"):
        Side(name="base", python=str(tmp_path / "none")).run([])


@pytest.fixture(name="here")
def _here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Both sides run in this process, one after the other, with the project's fake pipelines."""

    def run(side: Side, arguments: list[str]) -> int:
        worse = side.name == "head" and (Path.cwd() / "head_is_worse").exists()
        project.execution.records = lambda case: ended_with(case, "diverged" if worse else "exact", side.name)
        return project.run(*arguments).code

    monkeypatch.setattr(Side, "run", run)
    return project


def test_nothing_tells_the_sides_apart(here: Project) -> None:
    ended = here.run("against")

    assert ended.code == 2
    assert "name --head FOLDER, --package NAME==VERSION, or another Python" in ended.err


def test_equal_code_runs_nothing(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = package(here.path / "checkout")
    monkeypatch.setattr(scope, "place_of", lambda name, _: checkout / name)
    ended = here.run("against", "--head", "checkout")

    assert (ended.code, here.execution.ran) == (0, [])
    assert "the code of both sides is the same" in ended.out


def test_equal_results_are_no_change(here: Project) -> None:
    package(here.path / "checkout")
    ended = here.run("against", "--head", "checkout", "--case", "first/*")

    assert ended.code == 0, ended
    assert {path.name for path in (here.path / "reports" / "against").iterdir()} >= {"base", "head", "compare.md"}


def test_a_worse_verdict_is_told_and_gives_exit_code_1(here: Project) -> None:
    package(here.path / "checkout")
    (here.path / "head_is_worse").touch()
    ended = here.run("against", "--head", "checkout", "--workers", "1", "--tag", "default")

    assert ended.code == 1
    assert "base → head: 4 cases: 4 newly unexpected" in ended.out
    assert "exact → diverged" in (here.path / "reports" / "against" / "compare.md").read_text()


def test_a_side_that_cannot_run_ends_it(here: Project) -> None:
    package(here.path / "checkout")
    ended = here.run("against", "--head", "checkout", "--case", "nothing/*")

    assert ended.code == 3
    assert "the run of the base ended with exit code 2" in ended.err


@pytest.mark.torch
def test_a_changed_package_whose_code_no_case_loads_runs_nothing(here: Project) -> None:
    base, head = torchao(here.path / "base"), torchao(here.path / "head", unused="limit = 2\n")
    ended = here.run("against", "--base", str(base), "--head", str(head))

    assert (ended.code, here.execution.ran) == (0, [])
    assert "changed in the head: torchao/unused.py\n" in ended.out
    assert "nothing changed: none of the 4 cases loads that code" in ended.out


@pytest.mark.torch
def test_a_change_that_every_case_loads_runs_them_all(here: Project) -> None:
    base, head = torchao(here.path / "base"), torchao(here.path / "head", used="limit = 2\n")
    ended = here.run("against", "--base", str(base), "--head", str(head))

    assert ended.code == 0
    assert len(here.execution.ran) == 8
    assert "- changed in the head: torchao/used.py" in (here.path / "reports/against/compare.md").read_text()


@pytest.mark.torch
def test_a_change_to_a_quantizer_runs_the_cases_that_it_quantizes(here: Project) -> None:
    here.write({"matrix/copy.yaml": COPY})
    base, head = torchao(here.path / "base"), torchao(here.path / "head", copy="limit = 2\n")
    ended = here.run("against", "--base", str(base), "--head", str(head), "--only", "quantizer=copy,int8")

    assert ended.code == 0
    assert set(here.execution.ran) == {"copied/linear/quantizer=copy,device=cpu"}
    assert "left out: 4 cases that cannot load that code" in (here.path / "reports/against/compare.md").read_text()


def test_a_part_of_a_package_that_python_would_not_take_is_refused(here: Project) -> None:
    for folder, text in (("base", "limit = 1\n"), ("head", "limit = 2\n")):
        here.write({f"{folder}/executorch/backends/quantizer.py": text})
    here.write({"base/executorch/backends/__init__.py": ""})
    ended = here.run("against", "--base", "base", "--head", "head")

    assert ended.code == 2
    assert "executorch/backends has no __init__.py in the head, so that Python takes the base's" in ended.err


COPY = """
quantizers:
  copy: {mode: ptq, pt2e: {quantizer: torchao.XNNPACKQuantizer, config: {}}}
suites:
  copied: {axes: {pattern: linear, quantizer: copy}}
"""


def torchao(folder: Path, *, used: str = "limit = 1\n", copy: str = "limit = 1\n", unused: str = "limit = 1\n") -> Path:
    """A checkout with a torchao of four modules: what qatrix names loads one of them, the quantizer's copy another."""
    files = {
        "__init__.py": "",
        "quantization/__init__.py": "",
        "quantization/pt2e/__init__.py": "from ...used import limit\n",
        "testing/__init__.py": "",
        "testing/pt2e/__init__.py": "",
        "testing/pt2e/_xnnpack_quantizer.py": copy,
        "used.py": used,
        "unused.py": unused,
    }
    for name, text in files.items():
        (folder / "torchao" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "torchao" / name).write_text(text)
    return folder


# A package's file, a line of it and what stands in its place; what names the change.
PLANTED = {
    "the folding of batch norms": (
        "torchao/quantization/pt2e/utils.py",
        ("bn_eps = bn_args[eps_arg_index]", "bn_eps = 100 * bn_args[eps_arg_index]"),
        "1 case: as_specified fails on pt2e now, for example: conv after prepare: its weight differs from",
    ),
    "torchao's copy of XNNPACK's quantizer": (
        "torchao/testing/pt2e/_xnnpack_quantizer.py",
        ("weight_qmax: int = 127", "weight_qmax: int = 63"),
        "1 case: the pipelines are configured to quantize conv.weight differently",
    ),
    "torchao's convert": (
        "torchao/quantization/pt2e/convert.py",
        ("scale = float(scale)", "scale = 1.01 * float(scale)"),
        "1 case: as_specified fails on pt2e now, for example: x after convert: its scale is",
    ),
    "ExecuTorch's quantizer": (
        "executorch/backends/xnnpack/quantizer/xnnpack_quantizer.py",
        ("weight_qmax: int = 127", "weight_qmax: int = 63"),
        "1 case: the pipelines are configured to quantize conv.weight differently",
    ),
}
# A case that all changes of a package alter, so that they have one base.
ALTERED = {"torchao": "torchao.XNNPACKQuantizer", "executorch": "XNNPACKQuantizer"}
# No larger than it has to be: each side reads it twice.
OF_ONE_CASE = """
patterns:
  conv_bn:
    layers: {{conv: "Conv2d(3, 3, 3)", bn: BatchNorm2d(3)}}
    forward: ["return bn(conv(x))"]
    inputs: {{x: {{shape: [1, 3, 5, 5]}}}}
quantizers:
  int8:
    mode: ptq
    pt2e: {{quantizer: {quantizer}, config: {{is_per_channel: true}}}}
    fx: {{backend_config: qnnpack, qconfig: default_per_channel_symmetric_qnnpack_qconfig}}
suites:
  planted: {{axes: {{pattern: conv_bn, quantizer: int8}}}}
"""


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("package", ALTERED)
def test_planted_changes_are_found_and_named_and_only_the_first_runs_the_base(tmp_path: Path, package: str) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/planted.yaml").write_text(OF_ONE_CASE.format(quantizer=ALTERED[package]))
    changes = [planted for planted in PLANTED.values() if planted[0].startswith(f"{package}/")]
    for number, (name, line, named) in enumerate(changes):
        with edited_checkout(tmp_path / "checkout", name, line):
            ended = qatrix_against(tmp_path)

        assert ended.returncode == 1, ended
        assert f"changed in the head: {name}\n" in ended.stdout
        assert "base → head: 1 case: 1 newly unexpected" in ended.stdout
        assert named in ended.stdout
        assert f"- {named.partition(': ')[0]}" in (tmp_path / "reports/against/compare.md").read_text()
        if number:
            told = re.findall(r"^(nothing has changed since run|torch \d)", ended.stderr, flags=re.MULTILINE)
            assert told == ["nothing has changed since run", "torch 2"], ended


@contextmanager
def edited_checkout(folder: Path, name: str, line: tuple[str, str]) -> Iterator[None]:
    """A copy of an installed package, in which for a while the first such line of a file is another one."""
    package = name.partition("/")[0]
    at = place_of(package, [])
    if at is None:
        pytest.skip(f"{package} is not installed here")
    # Without an __init__.py Python takes what a checkout lacks from where it is installed, compiled files among it.
    rest = () if (at / "__init__.py").is_file() else ("include", "lib", "*.so")
    if not (folder / package).exists():
        shutil.copytree(at, folder / package, ignore=shutil.ignore_patterns("__pycache__", *rest))
    text = (at.parent / name).read_text()
    assert line[0] in text
    (folder / name).write_text(text.replace(*line, 1))
    yield
    (folder / name).write_text(text)


def qatrix_against(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qatrix", "against", "--head", "checkout", *argv]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
