"""The scripts of a run as files, and bug reports beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qatrix.errors import OutputError
from qatrix.report.repro import issue_md, script_name, wants_script, write_scripts
from support.diagnoses import make_diagnosis
from support.records import ENVIRONMENT, HOSTILE, make_diverged, make_failed, make_hostile, make_record, make_skipped

SCRIPT = "# What is wrong: it fails.\n#\n# case      a\n# command   qatrix repro 'a'    (qatrix 1)\nprint()\n"


def test_cases_that_fail_or_differ_want_a_script() -> None:
    assert [wants_script(record) for record in (make_failed(), make_diverged(), make_record(), make_skipped())] == [
        True,
        True,
        False,
        False,
    ]


def test_an_exact_case_that_should_not_be_wants_one_too() -> None:
    assert wants_script(make_record(unexpected=True))


@pytest.mark.parametrize("case_id", ["a/b/c=d,e=1", "../../etc/passwd", "x" * 10_000, "🙂", "\ud800", "", "a b\n"])
def test_a_name_is_a_file_of_its_folder(case_id: str) -> None:
    name = script_name(case_id)

    assert Path(name).name == name
    assert len(name) <= 90
    assert name.isascii()


def test_cases_that_read_alike_have_different_names() -> None:
    assert script_name("a/b") != script_name("a-b")


def test_each_script_has_a_bug_report_beside_it_and_stale_ones_go(tmp_path: Path) -> None:
    records = {record.case_id: record for record in (make_failed(), make_diverged())}
    first, second = records
    write_scripts(tmp_path / "repro", dict.fromkeys(records, SCRIPT), records=records, environment=ENVIRONMENT)
    write_scripts(tmp_path / "repro", {second: SCRIPT}, records=records, environment=ENVIRONMENT)

    assert {path.name for path in (tmp_path / "repro").iterdir()} == {
        f"{script_name(second)}.py",
        f"{script_name(second)}.md",
    }
    assert first != second


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.md", "mine"),
        ("tool.py", SCRIPT),
        (f"{script_name('a')}.py", "mine"),
        (f"{script_name('a')}.md", "# Mine"),
        (f"{script_name('a')}.txt", SCRIPT),
    ],
)
def test_what_is_not_of_an_earlier_writing_stays(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    write_scripts(tmp_path, {}, records={}, environment=ENVIRONMENT)

    assert (tmp_path / name).read_text() == text


def test_a_link_in_the_folder_is_not_followed_to_a_script(tmp_path: Path) -> None:
    (tmp_path / "target").write_text(SCRIPT)
    link = tmp_path / "repro" / f"{script_name('a')}.py"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "target")
    write_scripts(link.parent, {}, records={}, environment=ENVIRONMENT)

    assert link.is_symlink()


def test_a_pipe_by_the_name_of_a_script_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"{script_name('a')}.py")
    write_scripts(tmp_path, {}, records={}, environment=ENVIRONMENT)

    assert (tmp_path / f"{script_name('a')}.py").is_fifo()


def test_a_folder_that_is_a_link_keeps_what_it_has(tmp_path: Path) -> None:
    kept = tmp_path / "victim" / f"{script_name('a')}.py"
    kept.parent.mkdir()
    kept.write_text(SCRIPT)
    (tmp_path / "repro").symlink_to("victim")
    write_scripts(tmp_path / "repro", {}, records={}, environment=ENVIRONMENT)

    assert kept.read_text() == SCRIPT


def test_no_script_is_written_through_a_link(tmp_path: Path) -> None:
    record = make_failed()
    (tmp_path / "victim").mkdir()
    (tmp_path / "repro").symlink_to("victim")
    with pytest.raises(OutputError, match="repro is a link, and no report is written through one; remove it"):
        write_scripts(
            tmp_path / "repro", {record.case_id: SCRIPT}, records={record.case_id: record}, environment=ENVIRONMENT
        )

    assert not list((tmp_path / "victim").iterdir())


def test_no_folder_without_scripts(tmp_path: Path) -> None:
    write_scripts(tmp_path / "repro", {}, records={}, environment=ENVIRONMENT)

    assert not (tmp_path / "repro").exists()


def test_a_bug_report_has_expected_actual_cause_script_and_environment() -> None:
    text = issue_md("print('it')\n", record=make_diverged(diagnosis=make_diagnosis()), environment=ENVIRONMENT)

    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings[1:] == ["## Expected", "## Actual", "## Script", "## With qatrix", "## Environment"]
    assert "```python\nprint('it')\n```" in text
    assert "- torch 2.15.0" in text
    assert "Where they differ first:" in text


@pytest.mark.parametrize(
    ("summary", "heading"),
    [
        pytest.param("fx failed at prepare", "# mobilenet_v2: fx failed at prepare", id="short"),
        pytest.param(
            "word " * 100,
            "# mobilenet_v2: word word word word word word word word word word word word word…",
            id="long",
        ),
        pytest.param("one\ntwo", "# mobilenet_v2: one", id="of two lines"),
    ],
)
def test_the_heading_of_a_bug_report_has_at_most_80_characters(summary: str, heading: str) -> None:
    text = issue_md("pass", record=make_diverged(summary=summary), environment=ENVIRONMENT)

    assert text.splitlines()[0] == heading
    assert len(heading) <= len("# ") + 80
    assert f"- {' '.join(summary.split())}" in text


def test_a_bug_report_of_an_unexpected_case_says_how_to_run_and_to_declare_it() -> None:
    text = issue_md("pass", record=make_diverged(), environment=ENVIRONMENT, command=("qatrix", "run", "mine"))

    assert "```console\nqatrix run mine --case models/mobilenet_v2 --fresh\n```" in text
    assert '```yaml\nexpected:\n  - cases: "models/mobilenet_v2"\n    verdict: diverged\n' in text


def test_one_of_an_expected_case_does_not() -> None:
    assert "With qatrix" not in issue_md("pass", record=make_failed(), environment=ENVIRONMENT)


def test_a_bug_report_has_the_tracebacks_folded() -> None:
    text = issue_md("pass", record=make_failed(), environment=ENVIRONMENT)

    assert "<details><summary>Traceback of fx</summary>" in text


def test_no_text_leaves_its_place_in_a_bug_report() -> None:
    text = issue_md(f'x = """{HOSTILE}"""\n', record=make_hostile(), environment=ENVIRONMENT)
    fences = [line for line in text.splitlines() if line.startswith("````")]

    assert "<script>" not in text.partition("## Script")[0].partition("<details>")[0]
    assert len(fences) % 2 == 0
    assert "\u202e" not in text.partition("## Script")[0].partition("<details>")[0]
