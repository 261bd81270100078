"""A package as it was against the same package as it is now."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qatrix.cli import against, sides
from qatrix.cli.sides import Side, installed, overlay, own_qatrix, packages_in, place_of, same_code
from qatrix.errors import EnvironmentUnusable, UsageError
from support.project import Project, ended_with

CASE = "xnnpack_copy/conv/dim=2,quantizer=torchao_xnnpack_int8_per_channel_ptq,device=cpu"
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


def test_a_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no package; expected the folder that has torchao/"):
        packages_in(tmp_path)


@pytest.mark.parametrize(
    "other",
    [SOURCE, SOURCE.replace("not three", "surely not three"), SOURCE.replace("Twice.", "Doubled.")],
)
def test_comments_and_docstrings_are_no_code(tmp_path: Path, other: str) -> None:
    assert same_code(package(tmp_path / "one"), package(tmp_path / "two", other))


def test_other_code_and_other_files_are(tmp_path: Path) -> None:
    one = package(tmp_path / "one")

    assert not same_code(one, package(tmp_path / "two", SOURCE.replace("2 *", "3 *")))
    assert not same_code(one, package(tmp_path / "three", "def broken(:\n"))
    more = package(tmp_path / "four")
    (more / "my_quantizer" / "kernels.so").write_bytes(b"\0")
    assert not same_code(one, more)


def test_what_is_compiled_on_the_way_is_no_code(tmp_path: Path) -> None:
    one, other = package(tmp_path / "one"), package(tmp_path / "two")
    (other / "my_quantizer" / "__pycache__").mkdir()
    (other / "my_quantizer" / "__pycache__" / "x.pyc").write_bytes(b"\0")

    assert same_code(one, other)


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
    monkeypatch.setattr(against, "place_of", lambda name, _: checkout / name)
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


@pytest.mark.slow
@pytest.mark.torch
def test_a_change_to_torchao_is_found(tmp_path: Path) -> None:
    at = place_of("torchao", [])
    assert at is not None
    checkout = tmp_path / "ao"
    shutil.copytree(at, checkout / "torchao", ignore=shutil.ignore_patterns("__pycache__"))
    quantizer = checkout / "torchao" / "testing" / "pt2e" / "_xnnpack_quantizer.py"
    text = quantizer.read_text()
    assert "weight_qmax: int = 127" in text
    quantizer.write_text(text.replace("weight_qmax: int = 127", "weight_qmax: int = 63"))

    ended = subprocess.run(
        [sys.executable, "-m", "qatrix", "against", "--head", "ao", "--tag", "full", "--case", CASE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1, ended
    assert "base → head: 1 case: 1 newly unexpected" in ended.stdout
    assert (tmp_path / "reports" / "against" / "head" / "latest").is_dir()
