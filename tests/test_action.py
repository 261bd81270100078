"""The GitHub Action: its scripts, run here with commands that take down what they get, and how they hang together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from qatrix.cli import app, comparing, merging, runs
from support.project import MATRIX

ROOT = Path(__file__).parents[1]
ACTION = ROOT / "action"
DECLARED: dict[str, Any] = yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = DECLARED["runs"]["steps"]
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(ACTION.glob("*.sh"))}
# What GitHub gives every step.
GIVEN = {"GITHUB_ACTION_PATH", "GITHUB_OUTPUT", "GITHUB_REPOSITORY", "GITHUB_STEP_SUMMARY"}
# Importing them registers their verbs.
VERB_MODULES = (comparing, merging, runs)

# Takes down its words, one a line after its name, and leaves what a run of qatrix leaves.
STAND_IN = """
#!/usr/bin/env bash
{ echo "$ $(basename "$0")"; printf '%s\\n' "$@"; } >>"$TAKEN_DOWN"
if [ "$1" = compare ]; then
  mkdir -p qatrix-reports/compare && echo "2 cases got better" >qatrix-reports/compare/compare.md
elif [ "$1" = run ] || [ "$1" = merge ]; then
  if [ "${ENDS_WITH:-0}" -lt 2 ]; then
    mkdir -p qatrix-reports/20261129-220000
    echo "4 cases, 4 exact" >qatrix-reports/20261129-220000/summary.md
    ln -s 20261129-220000 qatrix-reports/latest
  fi
  exit "${ENDS_WITH:-0}"
fi
"""
# Not trained: for a case that trains, a process is started that imports torch once more.
WRONG = """
suites:
  third: {axes: {pattern: wrong, quantizer: still}}
patterns:
  wrong:
    layers: {a: "Linear(3, 3)"}
    forward: ["return a(x)"]
    inputs: {x: {shape: [2, 4]}}
quantizers:
  still: {mode: ptq, fx: {backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qconfig}}
"""
GH = """
#!/usr/bin/env bash
{ echo "$ gh"; printf '%s\\n' "$@"; } >>"$TAKEN_DOWN"
for word in "$@"; do
  case "$word" in
    body=@*) cp "${word#body=@}" "$TAKEN_DOWN.body" ;;
    --jq) echo "${COMMENTS:-}" ;;
  esac
done
"""


@dataclass
class Job:
    """A step's surroundings on GitHub."""

    folder: Path

    def command(self, name: str, text: str) -> None:
        """Put a command first on the path."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip(), encoding="utf-8")
        path.chmod(0o755)

    def step(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one script as a step does."""
        surroundings = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "GITHUB_REPOSITORY": "me/mine",
            "TAKEN_DOWN": str(self.folder / "taken"),
        }
        return subprocess.run(
            [str(ACTION / script)],
            cwd=self.folder,
            env={**surroundings, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of all steps so far."""
        return dict(line.split("=", 1) for line in self._lines("output"))

    @property
    def taken(self) -> list[str]:
        """The words of all commands so far."""
        return self._lines("taken")

    @property
    def summary(self) -> str:
        """What the job shows."""
        return "\n".join(self._lines("summary"))

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@pytest.fixture
def job(tmp_path: Path) -> Job:
    made = Job(tmp_path)
    for name in ("qatrix", "python"):
        made.command(name, STAND_IN)
    made.command("gh", GH)
    return made


def test_every_script_is_run_by_a_step_and_can_be_run() -> None:
    run = [name for step in STEPS for name in re.findall(r"GITHUB_ACTION_PATH/([\w.]+)", step.get("run", ""))]

    assert run == ["install.sh", "run.sh", "summary.sh", "comment.sh", "judge.sh"]
    assert sorted(run) == list(SCRIPTS)
    assert all(os.access(ACTION / name, os.X_OK) for name in run)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_step_gives_its_script_all_variables_that_it_reads(name: str) -> None:
    (step,) = (step for step in STEPS if name in step.get("run", ""))
    read = set(re.findall(r"\b(QATRIX_\w+|GITHUB_\w+)", SCRIPTS[name])) - GIVEN

    assert read == {variable for variable in step["env"] if variable != "GH_TOKEN"}


def test_the_steps_use_every_input_and_no_other() -> None:
    text = (ACTION / "action.yml").read_text(encoding="utf-8")

    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(DECLARED["inputs"])
    # Outputs are written by the scripts of the steps that have these ids.
    scripts = {step["id"]: SCRIPTS[re.findall(r"[\w]+\.sh", step["run"])[0]] for step in STEPS if "id" in step}
    for step, output in re.findall(r"steps\.(\w+)\.outputs\.(\w+)", text):
        assert f'echo "{output}=' in scripts[step]


def test_no_input_gets_into_a_script_but_by_a_variable() -> None:
    assert not any("${{" in step.get("run", "") for step in STEPS)


def test_without_a_token_nothing_is_commented() -> None:
    (step,) = (step for step in STEPS if "comment.sh" in step.get("run", ""))

    assert "inputs.token != ''" in step["if"]
    assert DECLARED["inputs"]["token"]["default"] == ""


def test_a_run_gets_its_arguments_as_a_shell_would_split_them_and_none_is_expanded(job: Job) -> None:
    selection = "--tag full --case 'conv bn/*' --only \"dim=2\" --case $(touch pwned) *"
    done = job.step("run.sh", QATRIX_PATHS="mine.yaml other", QATRIX_SELECTION=selection)

    assert done.returncode == 0, done.stderr
    assert job.taken == [
        "$ qatrix", "run", "mine.yaml", "other", "--tag", "full", "--case", "conv bn/*", "--only", "dim=2",
        "--case", "$(touch", "pwned)", "*", "--out", "qatrix-reports", "--fail-on", "unexpected",
    ]  # fmt: skip
    assert job.outputs == {"code": "0", "report": str(job.folder / "qatrix-reports/20261129-220000")}
    assert not (job.folder / "pwned").exists()


def test_a_quote_that_is_not_closed_ends_the_step(job: Job) -> None:
    assert job.step("run.sh", QATRIX_SELECTION="--case 'conv").returncode != 0
    assert job.taken == []


def test_a_shard_leaves_the_verdict_to_the_merge(job: Job) -> None:
    job.step("run.sh", QATRIX_SHARD="3", QATRIX_SHARDS="8", QATRIX_SELECTION="--tag full")

    assert job.taken == [
        "$ qatrix", "run", "--tag", "full", "--shard", "3/8", "--out", "qatrix-reports", "--fail-on", "never",
    ]  # fmt: skip


def test_shards_without_a_shard_are_merged(job: Job) -> None:
    for number in (1, 2):
        (job.folder / f"qatrix-shards/report-shard-{number}").mkdir(parents=True)
    job.step("run.sh", QATRIX_SHARDS="2", QATRIX_FAIL_ON="never")

    assert job.taken == [
        "$ qatrix", "merge", "qatrix-shards/report-shard-1", "qatrix-shards/report-shard-2", "--out",
        "qatrix-reports", "--fail-on", "never",
    ]  # fmt: skip


def test_a_shard_of_nothing_is_refused(job: Job) -> None:
    done = job.step("run.sh", QATRIX_SHARD="3")

    assert done.returncode != 0
    assert "shard needs shards" in done.stderr


@pytest.mark.parametrize("code", ["1", "2", "3"])
def test_the_job_ends_as_qatrix_did_once_the_reports_are_kept(job: Job, code: str) -> None:
    assert job.step("run.sh", ENDS_WITH=code).returncode == 0
    assert job.outputs["code"] == code
    assert bool(job.outputs["report"]) == (code == "1")
    assert job.step("judge.sh", QATRIX_CODE=code).returncode == int(code)


def test_a_job_that_got_no_result_fails(job: Job) -> None:
    assert job.step("judge.sh", QATRIX_CODE="").returncode == 1
    assert job.step("judge.sh", QATRIX_CODE="0").returncode == 0


def test_the_summary_of_the_job_has_the_runs_and_what_changed_against_the_baseline(job: Job) -> None:
    job.step("run.sh")
    (job.folder / "baseline").mkdir()
    done = job.step("summary.sh", QATRIX_REPORT=job.outputs["report"], QATRIX_BASELINE="baseline")

    assert done.returncode == 0, done.stderr
    assert job.summary == "4 cases, 4 exact\n\n2 cases got better"
    assert job.taken[-11:] == [
        "compare", "baseline", job.outputs["report"], "--label", "baseline", "--label", "this", "--out",
        "qatrix-reports/compare", "--fail-on", "never",
    ]  # fmt: skip
    assert job.outputs["comparison"] == "qatrix-reports/compare"


@pytest.mark.parametrize("baseline", ["", "not-here"])
def test_without_a_baseline_nothing_is_compared(job: Job, baseline: str) -> None:
    job.step("run.sh")
    done = job.step("summary.sh", QATRIX_REPORT=job.outputs["report"], QATRIX_BASELINE=baseline)

    assert job.summary == "4 cases, 4 exact"
    assert "compare" not in job.taken
    assert ("there is no baseline at not-here yet" in done.stdout) == bool(baseline)


@pytest.mark.parametrize(
    ("comments", "method", "where"),
    [("", "POST", "issues/7/comments"), ("41\n42", "PATCH", "issues/comments/41")],
    ids=["new", "known"],
)
def test_a_pull_request_has_one_comment(job: Job, comments: str, method: str, where: str) -> None:
    text = job.folder / "text.md"
    text.write_text("4 cases, 4 exact\n", encoding="utf-8")
    done = job.step("comment.sh", QATRIX_TEXT=str(text), QATRIX_PULL_REQUEST="7", COMMENTS=comments)

    assert done.returncode == 0, done.stderr
    assert job.taken[-7:-3] == ["api", "--method", method, f"repos/me/mine/{where}"]
    assert (job.folder / "taken.body").read_text(encoding="utf-8") == "<!-- qatrix -->\n4 cases, 4 exact\n"


def test_a_long_comment_is_cut_between_characters_and_says_so(job: Job) -> None:
    text = job.folder / "text.md"
    text.write_text("a" + "→" * 70_000, encoding="utf-8")
    job.step("comment.sh", QATRIX_TEXT=str(text), QATRIX_PULL_REQUEST="7")
    body = (job.folder / "taken.body").read_text(encoding="utf-8")

    assert 60_000 < len(body) < 65_536
    assert body.endswith("→\n\n…\n\nThe rest is in the artifact of the job.\n")


def test_without_a_release_pip_installs_the_checkout(job: Job) -> None:
    assert job.step("install.sh").returncode == 0
    assert job.taken == ["$ python", "-m", "pip", "install", str(ROOT)]


@pytest.mark.parametrize("release", [path.stem.removeprefix("torch-") for path in ROOT.glob("constraints/torch-*")])
def test_a_release_is_installed_in_the_versions_that_tox_tests(job: Job, release: str) -> None:
    assert job.step("install.sh", QATRIX_RELEASE=release).returncode == 0
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    (without,) = re.findall(r"^    ([\w, ]+): UV_OVERRIDE = \{tox_root\}/(.*)$", tox, flags=re.MULTILINE)
    overridden = f"torch{release.replace('.', '')}" in without[0].split(", ")

    assert job.taken[5:11] == ["$ python", "-m", "uv", "pip", "install", "--python"]
    assert job.taken[12:] == [
        "--constraint",
        str(ROOT / f"constraints/torch-{release}.txt"),
        *(["--override", str(ROOT / without[1])] if overridden else []),
        str(ROOT),
    ]


def test_a_release_without_a_tested_set_is_refused_with_those_that_there_are(job: Job) -> None:
    done = job.step("install.sh", QATRIX_RELEASE="1.13")

    assert done.returncode == 2
    assert "release '1.13' has no tested set of versions; expected one of: 2.3 2.5" in done.stderr
    assert job.taken == []


def test_every_command_of_the_scripts_is_one_that_qatrix_understands() -> None:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group of commands
    lines = [line for text in SCRIPTS.values() for line in text.splitlines() if re.match(r"\s*qatrix \w", line)]
    for line in lines:
        verb = line.split()[1]
        options = {option for parameter in commands[verb].params for option in parameter.opts}

        assert set(re.findall(r"\s(--[\w-]+)", line)) <= options

    assert len(lines) == 4


PAGE = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
EXAMPLES: list[dict[str, Any]] = [
    step["with"]
    for block in re.findall(r"```yml\n(.*?)```", PAGE.partition("\n## The action for GitHub")[2], flags=re.DOTALL)
    for job in yaml.safe_load(block).get("jobs", {}).values()
    for step in job["steps"]
    if step["uses"].startswith("OWNER/qatrix/action@")
]


def test_the_page_documents_every_input_and_its_examples_use_no_other() -> None:
    documented = set(re.findall(r"`([\w-]+)`", " ".join(re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE))))

    assert documented == set(DECLARED["inputs"])
    assert len(EXAMPLES) == 3
    assert {name for example in EXAMPLES for name in example} <= documented


@pytest.mark.parametrize("example", EXAMPLES, ids=["run", "shard", "merge"])
def test_the_examples_of_the_page_give_commands(job: Job, example: dict[str, Any]) -> None:
    variables = {
        f"QATRIX_{name.upper()}": str(example[name]) for name in ("selection", "shards", "shard") if name in example
    }
    number = {name: value.replace("${{ matrix.shard }}", "2") for name, value in variables.items()}

    assert job.step("run.sh", **number).returncode == 0
    assert not any("$" in word or "'" in word for word in job.taken[1:])
    assert (ROOT / f"constraints/torch-{example['release']}.txt").is_file()


def test_the_page_shows_the_hook_by_its_name() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))

    assert [f"      - id: {hook['id']}\n" in PAGE for hook in hooks] == [True]


@pytest.mark.torch
@pytest.mark.slow
def test_a_real_run_ends_in_a_summary_annotations_and_the_exit_code(job: Job) -> None:
    job.command("qatrix", f'#!/usr/bin/env bash\nexec {sys.executable} -m qatrix "$@"\n')
    (job.folder / "matrix").mkdir()
    (job.folder / "matrix/small.yaml").write_text(MATRIX, encoding="utf-8")
    (job.folder / "matrix/wrong.yaml").write_text(WRONG, encoding="utf-8")
    ran = job.step("run.sh", QATRIX_SELECTION="--case third", GITHUB_ACTIONS="true", PYTHONPATH=str(ROOT / "runner"))
    job.step("summary.sh", QATRIX_REPORT=job.outputs["report"])

    assert job.outputs["code"] == "1", ran.stdout + ran.stderr
    assert "::error file=matrix/wrong.yaml,line=3" in ran.stdout
    assert "invalid" in job.summary
    assert job.step("judge.sh", QATRIX_CODE=job.outputs["code"]).returncode == 1
