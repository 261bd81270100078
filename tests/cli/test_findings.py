"""findings, with pipelines that do nothing."""

from __future__ import annotations

from support.project import Project, ended_with

EXPECTED = """
expected:
  - cases: "*"
    verdict: diverged
    title: They round differently
    because: the one rounds to even
"""


def test_the_page_goes_to_standard_output_or_to_a_file(project: Project) -> None:
    project.write({"matrix/expected.yaml": EXPECTED})
    project.execution.records = lambda case: ended_with(case, "diverged", "diverged")
    project.run("run")
    told = project.run("findings", "reports/latest")
    written = project.run("findings", "reports/latest", "--out", "there/findings.md")

    assert (told.code, written.code) == (0, 0)
    assert "## They round differently\n\nThe one rounds to even.\n" in told.out
    assert written.out == "there/findings.md\n"
    assert (project.path / "there/findings.md").read_text() == told.out.rstrip("\n") + "\n"


def test_a_run_without_known_differences_is_told(project: Project) -> None:
    project.run("run")
    ended = project.run("findings", "reports/latest")

    assert ended.code == 2
    assert "no case of these runs is explained by an expectation" in ended.err
