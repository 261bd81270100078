"""findings, with pipelines that do nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qatrix.report.findings import MARK
from support.project import Ended, Project, ended_with

EXPECTED = """
expected:
  - cases: "*"
    verdict: diverged
    title: They round differently
    because: the one rounds to even
"""
SCRIPT = "they-round-differently.py"


@pytest.fixture
def explained(project: Project) -> Project:
    """A project with a run whose cases all diverged as expected, which kept their scripts."""
    project.write({"matrix/expected.yaml": EXPECTED})
    project.execution.records = lambda case: ended_with(case, "diverged", "diverged")
    project.run("run")
    return project


def written(project: Project, page: str = "there/findings.md") -> Ended:
    return project.run("findings", "reports/latest", "--out", page)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_standard_output_has_the_page_without_scripts(explained: Project) -> None:
    before = names(explained.path)
    told = explained.run("findings", "reports/latest")

    assert told.code == 0
    assert "## They round differently\n\nWhy: The one rounds to even.\n" in told.out
    assert "` writes and runs its script.\n" in told.out
    assert "import torch" not in told.out
    assert names(explained.path) == before


def test_a_file_has_the_page_and_a_folder_beside_it_the_scripts(explained: Project) -> None:
    ended = written(explained)
    text = (explained.path / "there/findings.md").read_text()
    script = (explained.path / "there/findings" / SCRIPT).read_text()

    assert (ended.code, ended.out) == (0, "there/findings.md\n")
    assert "## They round differently\n\nWhy: The one rounds to even.\n" in text
    assert f"[script](findings/{SCRIPT}) is run by `python findings/{SCRIPT}`;" in text
    assert names(explained.path / "there/findings") == [SCRIPT]
    assert script.startswith(MARK)
    assert "\nimport torch\n" in script
    compile(script, SCRIPT, "exec")


def test_scripts_of_an_earlier_page_go_and_nothing_else(explained: Project) -> None:
    folder = explained.path / "there/findings"
    written(explained)
    stale = f"{MARK}, once\n"
    kept = {
        "mine.py": "# case      a/p\nimport torch\n",
        "empty.py": "",
        "later.py": f"\n{stale}",
        "stale.txt": stale,
        "folder.py/stale.py": stale,
    }
    explained.write({f"there/findings/{name}": text for name, text in {**kept, "stale.py": stale}.items()})
    (folder / "link.py").symlink_to(folder / "stale.txt")
    (folder / "bytes.py").write_bytes(b"\xff\xfe")
    ended = written(explained)

    assert ended.code == 0
    assert names(folder) == sorted(
        [SCRIPT, "bytes.py", "empty.py", "folder.py", "later.py", "link.py", "mine.py", "stale.txt"]
    )
    assert {name: (folder / name).read_text() for name in kept} == kept


def test_a_script_of_an_earlier_page_is_replaced(explained: Project) -> None:
    explained.write({f"there/findings/{SCRIPT}": f"{MARK}, once\n"})
    ended = written(explained)

    assert ended.code == 0
    assert "import torch" in (explained.path / "there/findings" / SCRIPT).read_text()


def test_a_script_replaces_no_file_of_others(explained: Project) -> None:
    explained.write({f"there/findings/{SCRIPT}": "import mine\n", "there/findings/stale.py": f"{MARK}, once\n"})
    ended = written(explained)

    assert ended.code == 2
    assert f"there/findings/{SCRIPT} is not a script that qatrix findings wrote; move it" in ended.err
    assert (explained.path / "there/findings" / SCRIPT).read_text() == "import mine\n"
    assert names(explained.path / "there/findings") == ["stale.py", SCRIPT]
    assert names(explained.path / "there") == ["findings"]


def test_a_page_without_an_ending_has_no_name_for_its_folder(explained: Project) -> None:
    ended = written(explained, "there/findings")

    assert ended.code == 2
    assert "there/findings needs an ending, such as there/findings.md" in ended.err
    assert not (explained.path / "there").exists()


def test_a_run_without_known_differences_is_told(project: Project) -> None:
    project.run("run")
    ended = project.run("findings", "reports/latest")

    assert ended.code == 2
    assert "no case of these runs is explained by an expectation" in ended.err


def test_no_script_goes_through_a_link(explained: Project) -> None:
    kept = explained.path / "elsewhere" / "other.py"
    explained.write({"elsewhere/other.py": MARK, "there/findings.txt": ""})
    (explained.path / "there/findings").symlink_to("../elsewhere")
    ended = written(explained)

    assert ended.code == 2
    assert "there/findings is a link, and no report is written through one; remove it\n" in ended.err
    assert names(kept.parent) == ["other.py"]


def test_a_json_file_has_the_findings_and_makes_the_same_page(explained: Project) -> None:
    ended = written(explained, "there/findings.json")
    again = explained.run("findings", "there/findings.json", "--out", "again/findings.md")
    written(explained)

    assert (ended.code, ended.out, again.code) == (0, "there/findings.json\n", 0)
    for name in ("findings.md", f"findings/{SCRIPT}"):
        assert (explained.path / "again" / name).read_text() == (explained.path / "there" / name).read_text()


def test_a_json_file_has_no_scripts_beside_it(explained: Project) -> None:
    written(explained, "there/findings.json")

    assert names(explained.path / "there") == ["findings.json"]


def test_a_json_file_is_named_alone(explained: Project) -> None:
    written(explained, "findings.json")
    ended = explained.run("findings", "findings.json", "reports/latest")

    assert ended.code == 2
    assert "findings.json already has the findings of its runs; name it alone, or name runs" in ended.err


@pytest.mark.parametrize(
    ("make", "told"),
    [
        pytest.param(Path.exists, "cannot be read: No such file or directory", id="none"),
        pytest.param(Path.mkdir, "cannot be read: it is a folder", id="a folder"),
        pytest.param(lambda path: path.write_bytes(b"\xff"), "cannot be read", id="no text"),
        pytest.param(lambda path: path.write_text("{}"), "these are not findings", id="other JSON"),
    ],
)
def test_a_file_that_has_no_findings_is_told(explained: Project, make: Callable[[Path], object], told: str) -> None:
    make(explained.path / "findings.json")
    ended = explained.run("findings", "findings.json")

    assert ended.code == 2
    assert told in ended.err
